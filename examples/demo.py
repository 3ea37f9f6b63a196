"""Shows the main use: a picture becomes a clip in the scene tree, watched live. Needs no key.

Starts `evergreen serve --sandbox` on a free port, runs `evergreen video generate --watch` against it, and checks
that the clip is a playable H.264 MP4 of the requested ratio and duration.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import av
from served import ROOT, Served, evergreen, served

PICTURE = Path("tests", "samples", "rocket.jpg")
WHERE = ["--project", "demo", "--scene", "scene-1"]
RATIO, SECONDS = "1280:720", 5


def main() -> int:
    with served() as server:
        return generate(server)


def generate(server: Served) -> int:
    """Runs the commands that a user would run, then checks the resulting clip, wherever the scenes are stored."""
    options = [*WHERE, "--model", "gen4_turbo", "--ratio", RATIO]
    options += ["--duration", str(SECONDS), "--prompt", "The rocket climbs through thin clouds, slow pan upwards"]
    made = evergreen(server.endpoint, "video", "generate", "--image", str(PICTURE), *options, "--watch")
    if made.returncode:
        return made.returncode
    path = made.stdout.strip()
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "clip.mp4"
        asset = path.split("/", 3)[3]
        evergreen(server.endpoint, "scene", "download", *WHERE, asset, str(copy)).check_returncode()
        told, right = look_at(copy)
    # Not captured, since on a terminal it is a tree.
    evergreen(server.endpoint, "scene", "show", *WHERE, shown=True).check_returncode()
    print(f"\n{path}: {told}", flush=True)
    if (server.data / path).exists():
        print(f"on this disk: {(server.data / path).relative_to(ROOT)}")
    if not right:
        print(f"the clip is not h264 of {RATIO} and {SECONDS} s", file=sys.stderr)
    return 0 if right else 1


def look_at(clip: Path) -> tuple[str, bool]:
    """Returns a description of the clip, and whether the clip is as requested."""
    with av.open(str(clip)) as container:
        video, seconds = container.streams.video[0], (container.duration or 0) / av.time_base
        codec, width, height = video.codec_context.name, video.width, video.height
    across, down = (int(side) for side in RATIO.split(":"))
    right = codec == "h264" and width * down == height * across and abs(seconds - SECONDS) < 0.2
    return f"{codec} {width}x{height} {seconds:.1f} s, {clip.stat().st_size} bytes", right


if __name__ == "__main__":
    raise SystemExit(main())
