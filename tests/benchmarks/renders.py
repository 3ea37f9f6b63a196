"""Rendering films, beside Debian's ffmpeg that makes the same in the same run; and again, where little is new.

What is compared is the CPU of the processes, and the most memory that they had: the time depends on who else is there.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from uuid import uuid4

from evergreen_server.media.render.limits import RenderLimits
from evergreen_server.media.render.order import Attempt, order_line
from evergreen_server.ports.rendering import RenderOrder
from evergreen_server.ports.timeline import Heard, Profile, Sound, Source, Span, Timeline
from tests.benchmarks import footage
from tests.benchmarks.ffmpeg import Spent, concatenated, conformed, ended, installed, mixed
from tests.benchmarks.machine import table

WIDE = Profile(name="wide", width=1280, height=720)
CLIPS = 10
LINE_SECONDS, LINE_EVERY = 4.0, 6.0


class Studio:
    """A folder in which films are rendered, each by a process whose CPU and memory are read at its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, Path] = {}
        for name in ("cache", "scratch"):
            (folder / name).mkdir()

    def source(self, path: Path) -> Source:
        self._files[path.name] = path
        return Source(scene_id="scene-1", asset=path.name, sha256=path.name)

    def render(self, timeline: Timeline, profile: Profile = WIDE) -> tuple[Spent, dict[str, float]]:
        """Renders a film; returns what it took and what the renderer told of it."""
        limits = RenderLimits()
        order = RenderOrder(
            timeline=timeline,
            profile=profile,
            files=self._files,
            out=self.folder / f"{uuid4().hex}.mp4",
            cache=self.folder / "cache",
            scratch=self.folder / "scratch",
        )
        attempt = Attempt(
            mark=uuid4().hex,
            segments_at_once=limits.segments_of(profile.width, profile.height),
            progress_seconds=limits.progress_seconds,
            cache_bytes=limits.cache_bytes,
            memory_bytes=limits.memory_bytes,
        )
        command = (sys.executable, "-P", "-m", "evergreen_server.media.render", str(os.getpid()))
        answers = self.folder / "answers"
        with answers.open("wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file)
            assert process.stdin is not None
            process.stdin.write(order_line(order, attempt))
            process.stdin.flush()
            spent = ended(process)
            process.stdin.close()
        answer = json.loads(answers.read_bytes().splitlines()[-1])
        assert "rendered" in answer, answer
        return spent, answer["rendered"]


def copy(studio: Studio, seconds: float) -> tuple[Callable[[], Spent], Callable[[], Spent]]:
    """Clips of one form: copied, and their sound mixed and made as loud as asked for."""
    clips = [footage.clip(studio.folder / f"alike{number}", footage.ALIKE, seconds, number) for number in range(CLIPS)]
    sources = [studio.source(path) for path in clips]
    timeline = Timeline(
        spans=tuple(Span(source=source, frames=round(seconds * 24)) for source in sources),
        sounds=tuple(
            Sound(source=source, heard=Heard.CLIP, start=number * seconds, seconds=seconds)
            for number, source in enumerate(sources)
        ),
    )

    def ours() -> Spent:
        spent, told = studio.render(timeline)
        assert told["copied"]
        return spent

    return ours, lambda: concatenated(clips, studio.folder / "copied.mp4")


def conform(
    studio: Studio, seconds: float
) -> tuple[Callable[[], Spent], Callable[[], Spent], Callable[[], Spent], Callable[[], Spent]]:
    """Clips of ten forms as one film; the same by ffmpeg; and after the whole, one of them changed, and none."""
    clips = [
        footage.clip(studio.folder / f"form{number}", form, seconds, number)
        for number, form in enumerate(footage.DIFFERING)
    ]
    frames = round(seconds * 24)
    spans = [Span(source=studio.source(path), frames=frames) for path in clips]
    other = footage.clip(studio.folder / "other", footage.DIFFERING[1], seconds, 99)
    changed = [spans[0], Span(source=studio.source(other), frames=frames), *spans[2:]]

    def made(some: Sequence[Span], expected: int) -> Spent:
        spent, told = studio.render(Timeline(spans=tuple(some)))
        assert told["segments_made"] == expected, told
        return spent

    def whole() -> Spent:
        for segment in (studio.folder / "cache").iterdir():
            segment.unlink()
        return made(spans, CLIPS)

    size = (WIDE.width, WIDE.height)
    return (
        whole,
        lambda: conformed(clips, frames, size, studio.folder / "conformed.mp4"),
        lambda: made(changed, 1),
        lambda: made(spans, 0),
    )


def mix(studio: Studio, seconds: float) -> tuple[Callable[[], Spent], Callable[[], Spent]]:
    """Lines of speech over a bed, with hardly any picture."""
    bed = footage.sound(studio.folder / "bed.mp3", footage.music(20))
    starts = [number * LINE_EVERY + 0.3 for number in range(int(seconds / LINE_EVERY))]
    lines = [
        footage.sound(studio.folder / f"line{number}.mp3", footage.voice(LINE_SECONDS, number))
        for number in range(len(starts))
    ]
    sounds = [Sound(source=studio.source(bed), heard=Heard.MUSIC, start=0, loop=True)]
    sounds += [
        Sound(source=studio.source(path), heard=Heard.SPEECH, start=start)
        for path, start in zip(lines, starts, strict=True)
    ]
    timeline = Timeline(spans=(Span(source=None, frames=round(seconds)),), sounds=tuple(sounds))
    tiny = Profile(name="tiny", width=64, height=64, fps=1)
    placed = list(zip(lines, starts, strict=True))
    return (
        lambda: studio.render(timeline, tiny)[0],
        lambda: mixed(bed, placed, seconds, studio.folder / "mixed.m4a"),
    )


def run(*, quick: bool) -> None:
    rounds, seconds, length = (1, 2.0, 60.0) if quick else (5, 5.0, 600.0)
    version = installed()
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(Path(folder))
        whole, conformed_by, one, none = conform(studio, seconds)
        sides: list[tuple[str, Callable[[], Spent], Callable[[], Spent] | None, str]] = [
            ("copy, 10 clips of one form", *copy(studio, seconds), "0.80"),
            ("conform, 10 clips of ten forms", whole, conformed_by, "1.30, memory 0.60"),
            (f"mix, {length:.0f} s, a line every {LINE_EVERY:.0f} s", *mix(studio, length), "0.90"),
            ("the 10 clips, one of them changed", one, whole, "0.25"),
            ("the 10 clips, nothing changed", none, whole, "-"),
        ]
        rows = []
        for name, ours, theirs, aim in sides:
            again = theirs is whole
            pairs = [(theirs() if theirs and (version or again) else None, ours()) for _ in range(rounds)]
            rows.append([name, *_figures(pairs), aim])
    table(
        "Rendering films",
        ("film", "CPU, s", "of reference", "ratio", "MiB", "of reference", "ratio", "aim"),
        rows,
        f"The reference is Debian's ffmpeg {version}, called for the same film; of the last two, the whole film anew."
        if version
        else "ffmpeg is not here, and apt-get cannot install it: only the last two have a reference, the whole film.",
    )


def _figures(pairs: Sequence[tuple[Spent | None, Spent]]) -> list[str]:
    both = [(theirs, ours) for theirs, ours in pairs if theirs is not None]
    row = []
    for read in (lambda spent: spent.cpu, lambda spent: spent.mib):
        row.append(f"{median(read(ours) for _, ours in pairs):.2f}")
        row.append(f"{median(read(theirs) for theirs, _ in both):.2f}" if both else "-")
        row.append(f"{median(read(ours) / read(theirs) for theirs, ours in both):.2f}" if both else "-")
    return row
