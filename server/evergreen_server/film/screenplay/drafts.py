"""A scene while its script is read."""

from dataclasses import dataclass, field
from typing import Final

from evergreen_server.film.screenplay.script import Faults, ScriptScene, SpokenLine, TransitionKind
from evergreen_server.film.screenplay.source import squeezed

__all__ = ["SceneDraft", "transition_of", "unquoted"]

_QUOTES: Final = {'"': '"', "“": "”", "„": "“”", "«": "»", "»": "«", "‘": "’", "「": "」", "『": "』"}
_LONGEST_TITLE: Final = 200


@dataclass(slots=True, kw_only=True)
class SceneDraft:
    """Collects what a scene shows and says, in the order of the script."""

    line: int
    number: str = ""
    title: str = ""
    setting: str = ""
    hints: list[str] = field(default_factory=list)
    start: float | None = None
    seconds: float | None = None
    visuals: list[str] = field(default_factory=list)
    spoken: list[SpokenLine] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    sounds: list[str] = field(default_factory=list)
    music: list[str] = field(default_factory=list)
    transition: TransitionKind | None = None

    def see(self, text: str) -> None:
        """Takes a paragraph of what is seen."""
        if text := squeezed(text):
            self.visuals.append(text)

    def say(self, number: int, speaker: str, text: str, direction: str = "") -> None:
        """Takes what somebody says."""
        if text := squeezed(text):
            self.spoken.append(SpokenLine(line=number, speaker=speaker, text=text, direction=squeezed(direction)))

    def show(self, lines: list[str]) -> None:
        """Takes a text on the screen by its lines."""
        if text := "\n".join(line for line in map(squeezed, lines) if line):
            self.captions.append(text)

    def scene(self, faults: Faults) -> ScriptScene:
        """Returns the scene. One that has nothing to show and nothing to say is a fault."""
        if len(self.title) > _LONGEST_TITLE:
            faults.add(self.line, f"the title of the scene has more than {_LONGEST_TITLE} characters")
        if not (self.visuals or self.spoken or self.captions or self.hints or self.setting or self.title):
            faults.add(self.line, "the scene has nothing to show and nothing to say")
        return ScriptScene(
            line=self.line,
            number=self.number,
            title=self.title,
            setting=self.setting,
            hint=squeezed(" ".join(self.hints)),
            start=self.start,
            seconds=self.seconds,
            visuals=tuple(self.visuals),
            spoken=tuple(self.spoken),
            captions=tuple(self.captions),
            sounds=tuple(self.sounds),
            music=tuple(self.music),
            transition=self.transition,
        )


def unquoted(text: str) -> str | None:
    """Returns what stands between the quotation marks that enclose a text; the text itself if they enclose parts of it
    only, as in `“One.” “Two.”`; None if it does not begin and end with such marks.
    """
    text = text.strip()
    closing = _QUOTES.get(text[:1])
    if closing is None or len(text) < 2 or text[-1] != closing:
        return None
    inside = text[1:-1].strip()
    return text if closing in inside or text[0] in inside else inside


def transition_of(text: str) -> TransitionKind:
    """Returns what a transition's name means; what is neither a dissolve nor a fade is a cut."""
    name = text.casefold()
    if "dissolve" in name or "cross" in name:
        return TransitionKind.DISSOLVE
    if "fade" in name or "black" in name:
        return TransitionKind.BLACK
    return TransitionKind.CUT
