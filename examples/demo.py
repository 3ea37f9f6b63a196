"""The main job, shown: a picture becomes a clip in the scene tree, watched live. Needs no key.

Starts `evergreen serve --sandbox` on a free port, runs `evergreen video generate --watch` against it, and checks
that the clip is a playable H.264 MP4 of the asked ratio and length.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parent.parent
PICTURE = Path("tests", "samples", "rocket.jpg")
DATA = ROOT / "evergreen-data"
RATIO, SECONDS = "1280:720", 5
EVERGREEN = Path(sys.executable).with_name("evergreen")


def main() -> int:
    environ = {**os.environ, "EVERGREEN_DATA_DIR": str(DATA), "EVERGREEN_LOG_LEVEL": "WARNING"}
    command = [EVERGREEN, "serve", "--sandbox", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"serves on (\S+?),", line)
            if found is None:
                print("the server did not start", file=sys.stderr)
                return 1
            print(line, end="", flush=True)
            return generate(found[1])
        finally:
            server.terminate()


def generate(endpoint: str) -> int:
    """Runs the command that a user would, then looks at what it left."""
    options = ["--project", "demo", "--scene", "scene-1", "--model", "gen4_turbo", "--ratio", RATIO]
    options += ["--duration", str(SECONDS), "--prompt", "The rocket climbs through thin clouds, slow pan upwards"]
    generate = [EVERGREEN, "--endpoint", endpoint, "video", "generate", "--image", PICTURE, *options, "--watch"]
    print("$ evergreen", *(str(word) for word in generate[3:]), flush=True)
    code = subprocess.run(generate, check=False, timeout=80, cwd=ROOT).returncode
    if code:
        return code
    scene = DATA / "projects" / "demo" / "scene-1"
    newest = max((scene / "videos").glob("*.mp4"), key=lambda path: path.stat().st_mtime)
    with av.open(str(newest)) as clip:
        video = clip.streams.video[0]
        seconds = (clip.duration or 0) / av.time_base
        told = f"{video.codec_context.name} {video.width}x{video.height} {seconds:.1f} s"
        width, height = (int(side) for side in RATIO.split(":"))
        right = video.codec_context.name == "h264" and video.width * height == video.height * width
    print(f"\n{newest.relative_to(ROOT)}: {told}, {newest.stat().st_size} bytes")
    for folder in sorted(path for path in scene.iterdir() if path.is_dir()):
        files = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        print(f"  {folder.name}/" + "".join(f"\n    {name}" for name in files))
    if not right or abs(seconds - SECONDS) > 0.2:
        print(f"the clip is not h264 of {RATIO} and {SECONDS} s", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
