"""What holds for a whole film: its settings, its cast, and what the models that it names can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evergreen_server.film.model import Actor, FilmSettings, Plan
from evergreen_server.film.screenplay.script import Header, Script
from evergreen_server.ports.catalog import ModelTable

__all__ = ["ClipForm", "ClipModel", "FilmModels", "PictureModel", "SpeechModel", "cast_of", "models_of", "settings_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureModel:
    """What the model of the pictures takes in this film."""

    model: str
    ratio: str
    """That of the film's aspect, in the model's words; empty where the model has none."""
    prompt_most: int | None
    """UTF-16 code units; None where no bound is known."""
    references_most: int
    references_least: int
    tags: bool
    """Whether a prompt may mention a reference as `@tag`."""
    seed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipForm:
    """What the model of the clips takes, from a picture or from text alone."""

    ratio: str
    resolution: str
    durations: tuple[int, ...]
    """Whole seconds that can be asked for, rising."""
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


def settings_of(
    given: Mapping[str, object],
    script: Script | None = None,
    before: Plan | None = None,
    *,
    default: FilmSettings | None = None,
) -> FilmSettings:
    """Returns the settings of a film: what is given goes before what the script says, that before what the film had.

    `given` has the contract's field names: texts; a Timing, a Speech; a whole number of `candidates`; a Transition; and
    for `profiles` mappings with the fields of an ExportProfile. "", 0, None and () are not given. What the script's
    header says as it did before leaves an edit of the caller's alone.

    Raises InvalidRequest with every fault, at `settings.…`.
    """
    raise NotImplementedError


def cast_of(given: Sequence[Actor], header: Header, before: Plan | None = None) -> tuple[Actor, ...]:
    """Returns the cast: who is in the header, then who else the film had; by what is given before both.

    Raises InvalidRequest with every fault, at `cast[…].…`.
    """
    raise NotImplementedError


def models_of(settings: FilmSettings, table: ModelTable) -> FilmModels:
    """Returns what the film's models take. Raises InvalidRequest with every fault, at `settings.…`."""
    raise NotImplementedError
