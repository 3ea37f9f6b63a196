"""The inputs of routed generation: what may be asked without naming a model, and what it becomes for a given one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evergreen_server.providers.runway.catalog.models import PRESET_VOICES, Issue, Json, Kind, Operation
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rules import Flag, Number, OneOf, Rule, Text, Whole, custom
from evergreen_server.providers.runway.catalog.shapes import Items, Object, Sizes, Uri, part, tagged
from evergreen_server.providers.runway.sandbox.generation.asked import inside, number_in, pixels_of, word_in
from evergreen_server.providers.runway.sandbox.resources.bodies import Rules
from evergreen_server.providers.runway.sandbox.resources.routing.routers import SLUG

__all__ = ["BODIES", "INPUTS", "Candidate", "Modality", "candidates", "input_issues"]

Modality: TypeAlias = Literal["video", "image", "audio"]

_PICTURE, _VIDEO, _AUDIO = Uri(Kind.PICTURE), Uri(Kind.VIDEO), Uri(Kind.AUDIO)
_SHARED: Rules = {
    "seed": Whole(0, 4_294_967_295),
    "contentModeration": part({"publicFigureThreshold": OneOf(("auto", "low"))}),
}
_ASPECTS = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")
_WINDOW = part({"start_seconds!": Whole(0), "end_seconds!": Whole(1)})
_KEYFRAME = part({"uri!": _PICTURE, "seconds": Number(0, 30), "at": Number(0, 1), "range": _WINDOW})

_VIDEO_INPUT = part({
    "promptText": Text(6000),
    "negativePrompt": Text(1000, 0),
    "referenceImages": Items(part({"uri!": _PICTURE, "role!": OneOf(("first", "last", "reference"))}), 4),
    "referenceVideos": Items(part({"uri!": _VIDEO, "role!": OneOf(("source", "reference"))}), 2),
    "referenceAudio": Items(part({"uri!": _AUDIO}), 1),
    "keyframes": Items(_KEYFRAME, 5),
    "duration": Whole(2, 30),
    "aspectRatio": OneOf(_ASPECTS),
    "resolution": OneOf(("480p", "720p", "1080p", "4k")),
    "audio": Flag(),
    **_SHARED,
})  # fmt: skip
_IMAGE_INPUT = part({
    "promptText!": Text(32_000),
    "referenceImages": Items(part({"uri!": _PICTURE}), 16),
    "aspectRatio": OneOf((*_ASPECTS, "2:3", "3:2", "4:5", "5:4")),
    "resolution": OneOf(("1k", "2k", "4k")),
    "outputCount": Whole(1, 10),
    **_SHARED,
})  # fmt: skip
_AUDIO_INPUT = part({
    "type!": OneOf(("speech", "audio")),
    "promptText!": Text(5000),
    "voice": tagged({"preset": {"presetId!": OneOf(PRESET_VOICES)}, "reference-audio": {"audioUri!": _AUDIO}}),
    "referenceAudios": Items(part({"uri!": _AUDIO}), 3),
    "duration": Number(0.5, 30),
    "loop": Flag(),
})  # fmt: skip

INPUTS: Mapping[Modality, Object] = {"video": _VIDEO_INPUT, "image": _IMAGE_INPUT, "audio": _AUDIO_INPUT}
BODIES: Mapping[Modality, Object] = {
    modality: part({"configId!": SLUG, "input!": rule, "dryRun": Flag()}) for modality, rule in INPUTS.items()
}

# What the sides of an output reach in a tier, in pixels together.
_VIDEO_TIERS = {"480p": 500_000, "720p": 1_150_000, "1080p": 2_600_000, "4k": 40_000_000}
_IMAGE_TIERS = {"1k": 2_400_000, "2k": 9_000_000, "4k": 200_000_000}
_ASPECT_TOLERANCE = 0.06


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model, and the body that it would get."""

    operation: Operation
    model: str
    body: Mapping[str, Json]


def input_issues(modality: Modality, given: Mapping[str, Json]) -> Iterator[Issue]:
    """Yields what is wrong between the members of an input that are each right."""
    match modality:
        case "video":
            for name, role in (
                ("referenceImages", "first"),
                ("referenceImages", "last"),
                ("referenceVideos", "source"),
            ):
                if len(_with_role(given, name, role)) > 1:
                    yield custom(("input", name), f"At most one entry may have the role {role}.")
            if "keyframes" in given and not _with_role(given, "referenceVideos", "source"):
                yield custom(("input", "keyframes"), "Keyframes require a source video.")
        case "image":
            return
        case "audio":
            for name in ("duration", "loop", "referenceAudios"):
                if name in given and given.get("type") != "audio":
                    yield custom(("input", name), "Only available when type is audio.")


def candidates(modality: Modality, given: Mapping[str, Json]) -> Iterator[Candidate]:
    """Yields every model that makes such outputs, with the body that says the same in its own words."""
    for operation, model in TABLE:
        if operation in _operations(modality, given):
            fields = TABLE[operation, model].fields
            match modality:
                case "video":
                    body = _video(fields, TABLE[operation, model].required, given)
                case "image":
                    body = _image(fields, TABLE[operation, model].required, given)
                case "audio":
                    body = _audio(given)
            yield Candidate(operation, model, {"model": model, **body})


def _operations(modality: Modality, given: Mapping[str, Json]) -> tuple[Operation, ...]:
    match modality:
        case "image":
            return (Operation.TEXT_TO_IMAGE,)
        case "audio":
            return (Operation.TEXT_TO_SPEECH if given.get("type") == "speech" else Operation.SOUND_EFFECT,)
    if _with_role(given, "referenceVideos", "source"):
        return (Operation.VIDEO_TO_VIDEO,)
    if given.get("referenceImages"):
        return (Operation.IMAGE_TO_VIDEO, Operation.TEXT_TO_VIDEO)
    return (Operation.TEXT_TO_VIDEO,)


def _video(fields: Mapping[str, Rule], required: frozenset[str], given: Mapping[str, Json]) -> dict[str, Json]:
    body = _same(given, "promptText", "negativePrompt", "duration", "keyframes", "seed")
    frames: list[Json] = [
        {"uri": item["uri"], "position": role}
        for role in ("first", "last")
        for item in _with_role(given, "referenceImages", role)
    ]
    others: list[Json] = [{"uri": item["uri"]} for item in _with_role(given, "referenceImages", "reference")]
    if frames:
        body["promptImage"] = frames
    if others:
        name = "promptImage" if "references" not in fields and not frames else "references"
        body[name] = others
    for item in _with_role(given, "referenceVideos", "source"):
        body["videoUri" if "videoUri" in fields else "promptVideo"] = item["uri"]
    if videos := _with_role(given, "referenceVideos", "reference"):
        body["referenceVideos"] = [{"type": "video", "uri": item["uri"]} for item in videos]
    if sounds := _objects(given, "referenceAudio"):
        body["referenceAudio"] = [{"type": "audio", "uri": item["uri"]} for item in sounds]
    if "duration" in required and "duration" not in body:
        rule = fields["duration"]
        body["duration"] = 5 if not list(rule.issues(5, ())) else _first(rule)
    tier = word_in(given, "resolution")
    if tier and "resolution" in fields:
        body["resolution"] = tier
        tier = ""
    _shape(body, fields, required, given, tier=tier, tiers=_VIDEO_TIERS, usual="720p")
    if "audio" in given and not (given["audio"] is False and "audio" not in fields):
        body["audio"] = given["audio"]
    return body


def _image(fields: Mapping[str, Rule], required: frozenset[str], given: Mapping[str, Json]) -> dict[str, Json]:
    body = _same(given, "promptText", "referenceImages", "seed")
    if number_in(given, "outputCount", 1) > 1:
        body["outputCount"] = given["outputCount"]
    _shape(body, fields, required, given, tier=word_in(given, "resolution"), tiers=_IMAGE_TIERS, usual="1k")
    return body


def _audio(given: Mapping[str, Json]) -> dict[str, Json]:
    body = _same(given, "promptText", "duration", "loop")
    voice = inside(given, "voice")
    if voice:
        body["voice"] = {**voice, "type": "runway-preset"} if voice["type"] == "preset" else {**voice}
    if sounds := _objects(given, "referenceAudios"):
        body["referenceAudios"] = [item["uri"] for item in sounds]
    return body


def _shape(
    body: dict[str, Json],
    fields: Mapping[str, Rule],
    required: frozenset[str],
    given: Mapping[str, Json],
    *,
    tier: str,
    tiers: Mapping[str, int],
    usual: str,
) -> None:
    """Sets the model's ratio that comes nearest; where none has the aspect or the tier, one that it refuses."""
    aspect = word_in(given, "aspectRatio")
    if not (aspect or tier or "ratio" in required):
        return
    rule = fields.get("ratio")
    if rule is None:
        # Such a model keeps the framing of its input.
        if aspect or tier:
            body["ratio"] = aspect or tier
        return
    wanted = _proportion(aspect or ("16:9" if usual == "720p" else "1:1"))
    values = rule.values if isinstance(rule, OneOf | Sizes) else ()
    ratios = [value for value in values if isinstance(value, str) and _proportion(value)]
    fitting = [ratio for ratio in ratios if abs(_proportion(ratio) / wanted - 1) <= _ASPECT_TOLERANCE]
    sized = [ratio for ratio in fitting if _tier(ratio, tiers) in ("", tier or usual)]
    if not tier and not aspect:
        sized = sized or fitting or ratios
    body["ratio"] = next(iter(sized or ([] if tier else fitting)), aspect or tier)


def _tier(ratio: str, tiers: Mapping[str, int]) -> str:
    """Returns the tier of a ratio in pixels; empty for a mere proportion, which goes with any."""
    sides = pixels_of(ratio)
    return next(name for name, most in tiers.items() if sides[0] * sides[1] <= most) if sides else ""


def _proportion(ratio: str) -> float:
    left, _, right = ratio.partition(":")
    return int(left) / int(right) if left.isdecimal() and right.isdecimal() and int(right) else 0.0


def _first(rule: Rule) -> Json:
    return (
        rule.values[0]
        if isinstance(rule, OneOf)
        else next(each for each in range(1, 61) if not [*rule.issues(each, ())])
    )


def _same(given: Mapping[str, Json], *names: str) -> dict[str, Json]:
    return {name: given[name] for name in names if name in given}


def _objects(given: Mapping[str, Json], name: str) -> Sequence[Mapping[str, Json]]:
    items = given.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _with_role(given: Mapping[str, Json], name: str, role: str) -> Sequence[Mapping[str, Json]]:
    return [item for item in _objects(given, name) if item.get("role") == role]
