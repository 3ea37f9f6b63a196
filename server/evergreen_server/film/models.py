"""What the models of a film can do, found by asking the table of models."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from evergreen_server.film.model import FilmSettings, Speech
from evergreen_server.film.profiles import shape_of
from evergreen_server.ports.catalog import ModelInfo, ModelTable, OperationInfo
from evergreen_server.ports.specs import FieldError, GenerationSpec, InvalidRequest, Media, Operation, Role

__all__ = ["ClipForm", "ClipModel", "FilmModels", "PictureModel", "SpeechModel", "models_of"]

_SHAPE_APART: Final = 0.04
"""By how much of itself width / height may differ from the film's aspect. The cut crops what is too much."""
_AREAS: Final = {False: 1280 * 720, True: 1920 * 1080}
"""Pixels of a picture, by whether the film's settings ask for an export with sides of 1080 and more."""
_LARGE: Final = 1080
_PROBE: Final = "A lighthouse on a rock."
_SIZE: Final = re.compile(r"(\d{2,5}):(\d{2,5})")
_SHAPE: Final = re.compile(r"(\d{1,2}):(\d{1,2})")
_AUTOMATIC: Final = re.compile(r"auto_(\d+)p")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureModel:
    """What the model of the pictures takes in this film."""

    model: str
    ratios: tuple[str, ...]
    """That of the film's aspect by the number of references, in the model's words; empty where it takes none."""
    prompt_most: int | None
    """UTF-16 code units; None where no bound is known."""
    references_least: int
    tags: bool
    """Whether a prompt may mention a reference as `@tag`."""
    seed: bool

    @property
    def references_most(self) -> int:
        """Returns how many references it takes."""
        return len(self.ratios) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipForm:
    """What the model of the clips takes, from a picture or from text alone."""

    ratio: str
    resolution: str
    durations: tuple[int, ...]
    """Whole seconds that can be asked for, rising; never empty."""
    prompt_most: int | None
    seed: bool
    audio: bool
    """Whether sound can be asked for, and left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipModel:
    """What the model of the clips takes in this film; None for what it cannot begin with."""

    model: str
    from_picture: ClipForm | None
    from_text: ClipForm | None

    @property
    def longest(self) -> int:
        """Returns the seconds of the longest clip that a shot may be given without a word of the caller."""
        form = self.from_picture or self.from_text
        assert form is not None
        return form.durations[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechModel:
    """What the model of the speech takes in this film."""

    model: str
    text_most: int | None
    """UTF-16 code units of one line."""
    voices: tuple[str, ...]
    """Preset voices; empty where the model has none."""
    sounds: bool
    """Whether a voice can be taken from a sound."""
    language: str
    """The film's language, as the model takes it; empty where it takes none."""
    seed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmModels:
    """The three models of a film, and the table that they come from."""

    picture: PictureModel
    clip: ClipModel
    speech: SpeechModel
    table: ModelTable = field(repr=False, compare=False)


def models_of(settings: FilmSettings, table: ModelTable) -> FilmModels:
    """Returns what the film's models take. Raises InvalidRequest with every fault, at `settings.…`."""
    finder = _Finder(settings=settings, table=table, known=table.models())
    picture, clip, speech = finder.picture(), finder.clip(), finder.speech()
    if picture is not None and clip is not None and clip.from_picture is not None:
        finder.check_first_frame(picture, clip.from_picture)
    if finder.faults or picture is None or clip is None or speech is None:
        raise InvalidRequest(finder.faults)
    return FilmModels(picture=picture, clip=clip, speech=speech, table=table)


@dataclass(slots=True, kw_only=True)
class _Finder:
    settings: FilmSettings
    table: ModelTable
    known: Sequence[ModelInfo]
    faults: list[FieldError] = field(default_factory=list)

    def picture(self) -> PictureModel | None:
        name = self.settings.picture_model
        rule = self._rule(name, Operation.TEXT_TO_IMAGE)
        if rule is None:
            self._unknown("picture_model", name, "makes no pictures", [Operation.TEXT_TO_IMAGE])
            return None
        fitting = self._fitting(rule.ratios)
        if rule.ratios and not fitting:
            self._misfit(name, rule.ratios)
            return None
        spec = GenerationSpec(operation=Operation.TEXT_TO_IMAGE, model=name, prompt_text=_PROBE)
        most = (rule.references_max or 0) if Role.REFERENCE in rule.roles else 0
        while most and self._wrong(_referring(spec, most), "media"):
            most -= 1
        least = next((count for count in range(most + 1) if not self._wrong(_referring(spec, count), "media")), 0)
        ratios = tuple(self._first(fitting, _referring(spec, max(count, least))) for count in range(most + 1))
        sized = replace(_referring(spec, most), ratio=ratios[most])
        if self.settings.candidates > 1:
            several = replace(sized, parameters={"output_count": self.settings.candidates})
            for text in self._wrong(several, "parameters.output_count"):
                self._fault("candidates", f"{name}: {text}")
        return PictureModel(
            model=name,
            ratios=ratios,
            prompt_most=rule.prompt_max_utf16,
            references_least=least,
            tags=most > 0 and not self._wrong(_referring(spec, most, tagged=True), "media"),
            seed=self._takes_seed(sized),
        )

    def clip(self) -> ClipModel | None:
        name = self.settings.clip_model
        picture, text = self._rule(name, Operation.IMAGE_TO_VIDEO), self._rule(name, Operation.TEXT_TO_VIDEO)
        if picture is None and text is None:
            found = [Operation.IMAGE_TO_VIDEO, Operation.TEXT_TO_VIDEO]
            self._unknown("clip_model", name, "makes no clips of a picture or a text", found)
            return None
        forms = [self._form(rule) if rule is not None else None for rule in (picture, text)]
        if not any(forms):
            self._misfit(name, [ratio for rule in (picture, text) if rule is not None for ratio in rule.ratios])
            return None
        if self.settings.speech is Speech.IN_CLIP and not any(form is not None and form.audio for form in forms):
            names = ", ".join(info.model for info in self.known if "audio" in info.options)
            self._fault(
                "speech", f"{name} cannot be told to speak; with speech in the clip, clip_model is one of: {names}."
            )
        return ClipModel(model=name, from_picture=forms[0], from_text=forms[1])

    def speech(self) -> SpeechModel | None:
        name, language = self.settings.speech_model, self.settings.language
        rule = self._rule(name, Operation.TEXT_TO_SPEECH)
        if rule is None:
            self._unknown("speech_model", name, "speaks no texts", [Operation.TEXT_TO_SPEECH])
            return None
        voice = self.settings.narrator_voice
        if self.settings.speech is Speech.GENERATED and voice and voice not in rule.voices:
            has = f"its voices: {', '.join(rule.voices)}" if rule.voices else "it has no preset voices"
            self._fault("narrator_voice", f"{name} has no voice {voice}; {has}.")
        spec = GenerationSpec(operation=Operation.TEXT_TO_SPEECH, model=name, prompt_text=_PROBE)
        spec = replace(spec, parameters={"voice": rule.voices[0]} if rule.voices else {})
        tags = [tag for tag in dict.fromkeys((language, language.partition("-")[0].lower())) if tag]
        tagged = (replace(spec, parameters={**spec.parameters, "language": tag}) for tag in tags)
        taken = (tag for tag, one in zip(tags, tagged, strict=True) if not self._wrong(one, "parameters.language"))
        return SpeechModel(
            model=name,
            text_most=rule.prompt_max_utf16,
            voices=rule.voices,
            sounds=Role.REFERENCE_AUDIO in rule.roles,
            language=next(taken, ""),
            seed=self._takes_seed(spec),
        )

    def check_first_frame(self, picture: PictureModel, form: ClipForm) -> None:
        """Adds a fault if pictures of the film's aspect are none that clips of the model can begin with."""
        spec = _begun(self.settings.clip_model, form.durations[0])
        rule = self.table.picture_rule(replace(spec, ratio=form.ratio), Role.FIRST_FRAME)
        size = _SIZE.fullmatch(picture.ratios[0])
        shape = int(size[1]) / int(size[2]) if size else shape_of(self.settings.aspect)
        low, high = rule.min_aspect or 0.0, rule.max_aspect or math.inf
        if not low <= shape <= high:
            text = f"{spec.model} begins with pictures whose width / height is {low:g} to {high:g}, not {shape:.3g}."
            self._fault("aspect", text)

    def _form(self, rule: OperationInfo) -> ClipForm | None:
        """Returns what an operation takes; None where it knows no size of the film's aspect, or no length."""
        begun = rule.operation == Operation.IMAGE_TO_VIDEO
        if not rule.durations_seconds or (begun and Role.FIRST_FRAME not in rule.roles):
            return None
        seconds = rule.durations_seconds[0]
        spec = _begun(self.settings.clip_model, seconds)
        spec = spec if begun else replace(spec, media=())
        resolution = min(rule.resolutions, key=self._resolution_apart, default="")
        spec = replace(spec, resolution=resolution)
        fitting = self._fitting(rule.ratios, following=begun)
        ratio = self._first(fitting, spec)
        if rule.ratios and not ratio:
            return None
        return ClipForm(
            ratio=ratio,
            resolution=resolution,
            durations=tuple(sorted(rule.durations_seconds)),
            prompt_most=rule.prompt_max_utf16,
            seed=self._takes_seed(replace(spec, ratio=ratio)),
            audio="audio" in rule.options,
        )

    def _fitting(self, ratios: Iterable[str], *, following: bool = False) -> list[str]:
        """Returns the sizes of the film's aspect, the best first; `following` takes those that follow a first frame."""
        shape, area = shape_of(self.settings.aspect), _AREAS[self._large]

        def apart(ratio: str) -> tuple[int, float, float] | None:
            # A size says more than an aspect, since a number below 100 is no number of pixels.
            if (named := _SHAPE.fullmatch(ratio)) is not None:
                unlike = abs(int(named[1]) / int(named[2]) / shape - 1)
                return (1, unlike, 0.0) if unlike <= _SHAPE_APART else None
            if (size := _SIZE.fullmatch(ratio)) is not None:
                width, height = int(size[1]), int(size[2])
                unlike = abs(width / height / shape - 1)
                return (0, round(abs(math.log(width * height / area)), 3), unlike) if unlike <= _SHAPE_APART else None
            if following and (side := _AUTOMATIC.fullmatch(ratio)) is not None:
                return (2, abs(math.log(int(side[1]) / self._side)), 0.0)
            return None

        ranked = [(rank, ratio) for ratio in ratios if (rank := apart(ratio)) is not None]
        return [ratio for _, ratio in sorted(ranked, key=lambda one: one[0])]

    def _resolution_apart(self, resolution: str) -> float:
        lines = int(re.sub(r"\D", "", resolution) or 0) * (720 if resolution.upper().endswith("K") else 1)
        return abs(math.log(max(1, lines) / self._side))

    @property
    def _large(self) -> bool:
        return any(min(profile.width, profile.height) >= _LARGE for profile in self.settings.profiles)

    @property
    def _side(self) -> int:
        return _LARGE if self._large else 720

    def _first(self, ratios: Sequence[str], spec: GenerationSpec) -> str:
        """Returns the first size that a request may have; empty if none."""
        return next((ratio for ratio in ratios if not self._wrong(replace(spec, ratio=ratio), "ratio")), "")

    def _takes_seed(self, spec: GenerationSpec) -> bool:
        return not self._wrong(replace(spec, seed=1), "seed")

    def _wrong(self, spec: GenerationSpec, field: str) -> list[str]:
        return [error.description for error in self.table.field_errors(spec) if error.field.startswith(field)]

    def _rule(self, model: str, operation: Operation) -> OperationInfo | None:
        return next(
            (rule for info in self.known if info.model == model for rule in info.rules if rule.operation == operation),
            None,
        )

    def _unknown(self, setting: str, model: str, text: str, operations: Sequence[Operation]) -> None:
        names = ", ".join(info.model for info in self.known if set(info.operations) & set(operations))
        self._fault(setting, f"{model} {text}; one of: {names}.")

    def _misfit(self, model: str, ratios: Iterable[str]) -> None:
        sizes = ", ".join(dict.fromkeys(ratios))
        self._fault("aspect", f"{model} has no size of the aspect {self.settings.aspect}; its sizes: {sizes}.")

    def _fault(self, setting: str, text: str) -> None:
        self.faults.append(FieldError(field=f"settings.{setting}", description=text))


def _begun(model: str, seconds: int) -> GenerationSpec:
    frame = Media(role=Role.FIRST_FRAME, asset="images/picture.png")
    return GenerationSpec(model=model, prompt_text=_PROBE, media=(frame,), duration_seconds=seconds)


def _referring(spec: GenerationSpec, count: int, *, tagged: bool = False) -> GenerationSpec:
    tags = (f"tag_{number}" if tagged else "" for number in range(count))
    media = (Media(role=Role.REFERENCE, asset="images/picture.png", tag=tag) for tag in tags)
    return replace(spec, media=tuple(media))
