"""A worker: reads one JSON job per line, answers each with a line, and ends when its input does."""

import json
import os
import resource
import sys
from collections.abc import Callable, Mapping

from PIL import ImageFile

from evergreen_server.providers.runway.rendering.clips import make_clip
from evergreen_server.providers.runway.rendering.finishing import make_finished
from evergreen_server.providers.runway.rendering.job import Job, Work
from evergreen_server.providers.runway.rendering.pictures import make_drawing, make_enlargement, make_picture
from evergreen_server.providers.runway.rendering.probing import probe
from evergreen_server.providers.runway.rendering.sounds import make_effect, make_sound, make_speech, make_voice

_MEMORY_MOST = 6 * 1024**3
_WORKS: Mapping[Work, Callable[[Job], None]] = {
    "clip": make_clip,
    "picture": make_picture,
    "enlargement": make_enlargement,
    "drawing": make_drawing,
    "speech": make_speech,
    "effect": make_effect,
    "voice": make_voice,
    "sound": make_sound,
    "finish": make_finished,
}


def main() -> None:
    # The sandbox may share its machine, even its process, with what it tests, which goes first.
    os.nice(10)
    # What a hostile file makes a library allocate ends its job, not the machine.
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MOST if most < 0 else min(most, _MEMORY_MOST), most))
    # A picture that was accepted by its header must become a clip; a missing rest stays grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, float | str] = {}
        try:
            if asked["work"] == "probe":
                answer = {**probe(source=asked["source"], kind=asked["kind"])}
            else:
                job = Job(**asked)
                _WORKS[job.work](job)
        except Exception as exc:
            # The outermost loop: libraries raise anything for a hostile file, and the next job must still run.
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        try:
            print(json.dumps(answer), flush=True)
        except BrokenPipeError:
            # The sandbox is gone: also the interpreter's last flush would fail.
            os._exit(0)


if __name__ == "__main__":
    main()
