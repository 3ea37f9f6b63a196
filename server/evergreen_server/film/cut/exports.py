"""How the files of an export are named, so that the same cut is never rendered twice."""

from dataclasses import asdict
from typing import Final

from evergreen_server.film.digests import sha256_of
from evergreen_server.ports.timeline import Profile, Timeline

__all__ = ["beside", "export_asset", "export_digest"]

_DIGITS: Final = 8
_LONGEST_PROFILE: Final = 40
"""Characters of a profile's name in a file's, which may have 128 in all."""


def export_digest(timeline: Timeline, profile: Profile, *, renderer: str) -> str:
    """Returns the SHA-256 (hex) of what an export is made from, and of what makes it.

    It covers the names of files beside their bytes, since the timeline that lies beside the film holds them.
    """
    return sha256_of({"timeline": asdict(timeline), "profile": asdict(profile), "renderer": renderer})


def export_asset(film_id: str, *, run: int, profile: str, digest: str) -> str:
    """Returns the place of an export in the film's own scene, such as `exports/my-film-r1-wide-0f1e2d3c.mp4`."""
    return f"exports/{film_id}-r{run}-{profile[:_LONGEST_PROFILE]}-{digest[:_DIGITS]}.mp4"


def beside(export: str, suffix: str) -> str:
    """Returns the place of a file that lies beside an export."""
    return f"{export.rpartition('.')[0]}.{suffix}"
