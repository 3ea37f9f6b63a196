"""The provider's own voices, avatars and languages, by its own names."""

__all__ = ["AVATARS", "DUBBING_LANGUAGES", "LIVE_VOICES", "PRESET_VOICES"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PRESET_VOICES = _words(
    """
    Maya Arjun Serene Bernard Billy Mark Clint Mabel Chad Leslie Eleanor Elias Elliot Grungle Brodie Sandra Kirk
    Kylie Lara Lisa Malachi Marlene Martin Miriam Monster Paula Pip Rusty Ragnar Xylar Maggie Jack Katie Noah James
    Rina Ella Mariah Frank Claudia Niki Vincent Kendrick Myrna Tom Wanda Benjamin Kiana Rachel
    """
)
"""The voices that speak a text, or take the place of a recorded one."""

LIVE_VOICES = _words(
    """
    victoria vincent clara drew skye max morgan felix mia marcus summer ruby aurora jasper leo adrian nina emma blake
    david maya nathan sam georgia petra adam zach violet roman luna
    """
)
"""The voices of avatars."""

AVATARS = (
    "game-character", "music-superstar", "game-character-man", "cat-character", "influencer", "tennis-coach",
    "human-resource", "fashion-designer", "cooking-teacher",
)  # fmt: skip

DUBBING_LANGUAGES = _words(
    """
    en hi pt zh es fr de ja ar ru ko id it nl tr pl sv fil ms ro uk el cs da fi bg hr sk ta
    """
)
