"""Decodes callers' files in a process of its own, which may be killed at any moment and whose memory is bounded.

Runs as `python -m evergreen_server.media.decoder LIMITS`, reads orders from its standard input and ends with it.
"""

import gc
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import ceil
from pathlib import Path
from typing import assert_never

from PIL import AvifImagePlugin, Image, PngImagePlugin

from evergreen_server.media import clips, frames, pauses, pictures, sounds
from evergreen_server.media.confinement import bound_memory
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.orders import Answer, Order, Work
from evergreen_server.media.signatures import HEAD_BYTES, sniff
from evergreen_server.ports.media import MediaRefused, Picture

_ORPHAN_SECONDS = 5.0
"""How long after its parent would have ended it the system does, in case the parent is gone."""


def main() -> None:
    limits = MediaLimits.read(sys.argv[1])
    with _answers() as answers:
        _confine(limits)
        os.write(answers, Answer().line())
        for line in sys.stdin.buffer:
            signal.alarm(ceil(limits.work_seconds + _ORPHAN_SECONDS))
            answer = carry_out(Order.read(line), limits)
            signal.alarm(0)
            os.write(answers, answer.line())
            # Frames and their scalers form cycles; each would keep threads, and their stacks, for a long time.
            gc.collect()


def carry_out(order: Order, limits: MediaLimits) -> Answer:
    """Decodes one file. What its decoder raises is attributed to the file; what the disk raises is not."""
    source, target = Path(order.source), Path(order.target)
    reason = "PICTURE_INVALID" if order.work is Work.PICTURE else "MEDIA_REFUSED"
    # Pictures are read whole, and up to this length; of anything else FFmpeg reads what it needs.
    most = {
        Work.PICTURE: limits.picture_bytes,
        Work.MEASURE: limits.measured_bytes,
        Work.THUMBNAIL: limits.picture_bytes,
    }.get(order.work)
    try:
        with source.open("rb") as file:
            head = file.read(HEAD_BYTES)
            size = os.fstat(file.fileno()).st_size
            data = head + file.read() if most is not None and size <= most else b""
    except OSError as exc:
        return Answer(errno=exc.errno or 1)
    made = b""
    try:
        if most is not None and size > most:
            raise MediaRefused(f"the picture is larger than {most} bytes", reason="MEDIA_REFUSED")
        match order.work:
            case Work.PICTURE:
                picture = pictures.prepare(data, order.rule, limits)
                made, answer = picture.data, _described(picture)
            case Work.MEASURE:
                answer = Answer(**asdict(pictures.measure(data, limits)))
            case Work.PROBE:
                answer = Answer(**asdict(clips.probe(source, limits)))
            case Work.HEAR:
                answer = Answer(**asdict(sounds.hear(source, limits)))
            case Work.PAUSES:
                answer = Answer(pauses=pauses.find(source, limits))
            case Work.POSTER:
                made, answer = clips.poster(source, limits), Answer()
            case Work.LAST_FRAME:
                picture = frames.last(source, limits)
                made, answer = picture.data, _described(picture)
            case Work.THUMBNAIL:
                made, answer = pictures.thumbnail(data, order.width, limits), Answer()
            case _:
                assert_never(order.work)
    except MediaRefused as exc:
        return Answer(refused=str(exc), reason=exc.reason, unreadable=exc.unreadable)
    except (MemoryError, BlockingIOError):
        # The second where there is no memory for a thread.
        text = f"it takes more than {limits.decoder_bytes} bytes of memory to decode the file"
        return Answer(refused=text, reason=reason, spent=True)
    except Exception as exc:
        noun = "file" if most is None else "picture"
        text = f"the {noun} is broken or truncated ({sniff(head) or 'of no known kind'})"
        return Answer(refused=text, reason=reason, cause=type(exc).__name__)
    try:
        if order.target:
            target.write_bytes(made)
    except OSError as exc:
        return Answer(errno=exc.errno or 1)
    return answer


def _described(picture: Picture) -> Answer:
    return Answer(
        content_type=picture.content_type, width=picture.width, height=picture.height, warnings=picture.warnings
    )


@contextmanager
def _answers() -> Iterator[int]:
    """Keeps the standard output for answers only, and silences libraries that print, such as libtiff."""
    answers, nobody = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, 1)
    os.dup2(nobody, 2)
    warnings.simplefilter("ignore")
    yield answers


def _confine(limits: MediaLimits) -> None:
    """Limits this process to what decoding needs: bounds its memory and files, and forbids core dumps."""
    # Whatever is imported later would count as memory of a file.
    Image.init()
    # One thread per picture, and profiles of any size that a file may have.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    PngImagePlugin.MAX_TEXT_CHUNK = limits.picture_bytes
    bound_memory(limits.decoder_bytes)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.picture_bytes, limits.picture_bytes))


if __name__ == "__main__":
    main()
