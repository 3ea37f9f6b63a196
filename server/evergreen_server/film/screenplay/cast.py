"""Who plays in a film: `NAME = description; voice PRESET; images/FILE`, and whom a name in the script means."""

import re
from collections.abc import Iterable
from typing import Final

from evergreen_server.film.screenplay.script import MAX_PICTURES, NARRATOR, CastMember, Faults
from evergreen_server.film.screenplay.source import squeezed
from evergreen_storage.keys import path_error

__all__ = ["NARRATORS", "Names", "cast_member", "is_name", "is_picture", "name_key"]

_LONGEST_NAME: Final = 60
_LONGEST_DESCRIPTION: Final = 500
_NAME: Final = re.compile(r"(?=.*[^\W\d_])[^\W_][\w .'’&#/-]*")
_VOICE: Final = re.compile(r"voice[ \t]+([A-Za-z][A-Za-z0-9 _-]{0,63})", re.IGNORECASE)
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp")
NARRATORS: Final = frozenset({"narrator", "narration", "voice over", "voice-over", "voiceover", "vo", "v.o."})


def name_key(name: str) -> str:
    """Returns what two spellings of a name have in common."""
    return squeezed(name).casefold()


def cast_member(number: int, text: str, faults: Faults) -> CastMember | None:
    """Returns the member of the cast that a line describes; None, and a fault, if it is not of that form."""
    name, equals, rest = text.partition("=")
    name = squeezed(name)
    if not equals or not is_name(name):
        faults.add(number, "a cast line is NAME = description; voice PRESET; images/FILE")
        return None
    if name_key(name) in NARRATORS:
        faults.add(number, f"{name} is the narrator, whose voice is set by the key Narrator")
        return None
    description, *parts = (squeezed(part) for part in rest.split(";"))
    voice = ""
    images: list[str] = []
    for part in parts:
        if found := _VOICE.fullmatch(part):
            if voice:
                faults.add(number, f"{name} has more than one voice")
            voice = found[1]
        elif is_picture(part):
            images.append(part)
        elif part:
            faults.add(
                number,
                f"of {name} it says neither voice PRESET nor images/FILE with a name ending in .png, .jpg or .webp",
            )
    if len(images) > MAX_PICTURES:
        faults.add(number, f"{name} has {len(images)} pictures; at most {MAX_PICTURES} are taken")
    if len(description) > _LONGEST_DESCRIPTION:
        faults.add(number, f"the description of {name} has more than {_LONGEST_DESCRIPTION} characters")
    return CastMember(name=name, description=description, voice=voice, images=tuple(images), line=number)


class Names:
    """Whom a name in a script means, and who is named in a text."""

    def __init__(self, cast: Iterable[CastMember]) -> None:
        self._by_key = {name_key(member.name): member.name for member in cast}
        # As written, in capitals as Fountain has them, or capitalised: `Will` is somebody, `will` is not.
        spellings = {
            spelling: name for name in self._by_key.values() for spelling in (name, name.upper(), name.title())
        }
        self._spellings = spellings
        alternatives = "|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
        self._mentions = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)") if spellings else None

    def speaker(self, name: str) -> str:
        """Returns the name as the cast has it, `NARRATOR` for the narrator, any other name as it is."""
        key = name_key(name)
        if not key or key in NARRATORS:
            return NARRATOR
        return self._by_key.get(key, squeezed(name))

    def knows(self, name: str) -> bool:
        """Returns whether a name is in the cast or means the narrator."""
        return name_key(name) in self._by_key or name_key(name) in NARRATORS

    def mentioned(self, text: str) -> tuple[str, ...]:
        """Returns the cast named in a text, in the order of their first mention."""
        if self._mentions is None:
            return ()
        return tuple(dict.fromkeys(self._spellings[found.group()] for found in self._mentions.finditer(text)))


def is_name(name: str) -> bool:
    """Returns whether somebody can be called so."""
    return len(name) <= _LONGEST_NAME and bool(_NAME.fullmatch(name))


def is_picture(part: str) -> bool:
    """Returns whether a text is the path of a picture in a scene, `images/FILE`."""
    return part.startswith("images/") and part.lower().endswith(_PICTURES) and path_error(part) is None
