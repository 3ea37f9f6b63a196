"""The names that a job gives to its files, which no upload may use.

    {folder}/{job}-{attempt}-{n}.{type}     an output; `.jpg` beside a video is its poster
    images|audio|videos/{job}-{n}.{type}    an input that was fetched, or changed to suit the model
    images/{shot}-first-{clip}.{type}       the first frame of a clip that goes on where another one ends
    exports/{film}-r{run}-…                 a finished cut

If another file has such a name already, a letter behind the number makes the next one.
"""

import re
from collections.abc import Iterator
from string import ascii_lowercase
from typing import Final

FILM_REQUESTS: Final = "evergreen.film:"
"""Begins the request_id of each job of a film, and of no other."""

# An id of `runtime/ids.py`, in either case: some disks do not distinguish them.
_OF_JOB = re.compile(r"\w+/([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})-.+", re.I | re.A)
_OF_FILM = re.compile(
    r"exports/[a-z0-9][a-z0-9_-]*-r[0-9].*|images/[a-z0-9][a-z0-9_.-]*-first-[0-9a-f]{16}[a-z]?\.\w+", re.I | re.A
)


def output_path(folder: str, job_id: str, attempt: int, number: int, extension: str) -> str:
    """Returns the first choice for an output, counted from 1."""
    return f"{folder}/{job_id}-{attempt}-{number}.{extension}"


def poster_path(clip: str) -> str:
    """Returns the first choice for the poster of a clip."""
    return f"{clip.rpartition('.')[0]}.jpg"


def input_path(folder: str, job_id: str, number: int, extension: str) -> str:
    """Returns the first choice for an input, counted from 1."""
    return f"{folder}/{job_id}-{number}.{extension}"


def first_frame_path(shot_id: str, sha256: str, extension: str) -> str:
    """Returns the first choice for the first frame of a shot's clip, by the SHA-256 (hex) of the clip that it ends."""
    return f"images/{shot_id}-first-{sha256[:16]}.{extension}"


def choices(path: str) -> Iterator[str]:
    """Yields the names for a file in the order in which they are tried: `a-1.mp4`, `a-1a.mp4` … `a-1z.mp4`."""
    stem, _, extension = path.rpartition(".")
    for letter in ("", *ascii_lowercase):
        yield f"{stem}{letter}.{extension}"


def job_of(path: str) -> str:
    """Returns the id of the job that alone may use a path of this form; empty if the path is not of this form."""
    match = _OF_JOB.fullmatch(path)
    return match[1].lower() if match else ""


def is_reserved(path: str) -> bool:
    """Returns whether only the service itself gives files such a name, whichever jobs and films exist."""
    return bool(job_of(path) or _OF_FILM.fullmatch(path))
