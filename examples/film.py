"""Shows what films are: a script becomes a plan with a price, and after a yes to it a finished cut. Needs no key.

Runs `evergreen film plan` and `evergreen film start --watch` against a server with the sandbox, and checks that the
cut is a playable H.264 MP4 with sound, as long as planned.
"""

import json
import re
import sys
from pathlib import Path
from uuid import uuid4

import av
from served import ROOT, Served, evergreen, served

SCRIPT = Path("tests", "samples", "scripts", "the-lamp.fountain")
PROJECT = "film-demo"


def main() -> int:
    with served() as server:
        return film(server)


def film(server: Served) -> int:
    """Plans a film, starts it, follows it, and says what it cost and where it lies."""
    # Of its own at each run, with its own scenes, so that the run makes everything.
    film_id = f"lamp-{uuid4().hex[:6]}"
    where = ["--project", PROJECT, "--film", film_id]
    planned = evergreen(server.endpoint, "film", "plan", str(SCRIPT), *where, "--set", f"scene_prefix={film_id}-scene")
    print(planned.stdout, end="")
    quote = re.search(r"^credits\s+≤ (\d+)$", planned.stdout, re.MULTILINE)
    if planned.returncode or quote is None:
        return planned.returncode or 1
    made = evergreen(
        server.endpoint, "film", "start", *where, "--max-credits", quote[1], "--yes", "--watch", seconds=300
    )
    print(made.stdout, end="")
    if made.returncode:
        return made.returncode
    export = next(line.split()[1] for line in made.stdout.splitlines() if line.startswith("export "))
    cut = server.data / "projects" / PROJECT / export
    sidecar = json.loads(cut.with_suffix(".json").read_text())
    told, right = look_at(cut, sidecar["export"]["frames"])
    print(f"\n{export}: {told}")
    for file in sorted(cut.parent.glob(f"{cut.stem}.*")):
        print(f"  {file.relative_to(ROOT)}  {file.stat().st_size:,} bytes")
    if not right:
        print("the cut is not as planned", file=sys.stderr)
    return 0 if right else 1


def look_at(cut: Path, frames: int) -> tuple[str, bool]:
    """Returns a description of a cut, and whether it has so many frames, and sound."""
    with av.open(str(cut)) as container:
        video, sounds = container.streams.video[0], len(container.streams.audio)
        codec, width, height = video.codec_context.name, video.width, video.height
        seen = sum(1 for _ in container.decode(video))
    told = f"{codec} {width}x{height}, {seen} frames of picture, {sounds} of sound"
    return told, codec == "h264" and seen == frames and sounds == 1


if __name__ == "__main__":
    raise SystemExit(main())
