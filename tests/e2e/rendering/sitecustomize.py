"""Stops a renderer for ever at the moment that a test waits for, as `held` does a server."""

import os
import signal
import socket
import sys
import time
from pathlib import Path
from threading import Thread

wanted = Path(os.environ["PYTHONHELD"])


def happening(name: str, arguments: tuple[object, ...]) -> None:
    """Python tells this hook of every file that is opened, and of every link."""
    if name == "os.link" and str(arguments[1]).endswith(".part") and asked()[0] == "segment":
        # The film's own name for a segment, which it did not find.
        Thread(target=stop_inside, args=(Path(str(arguments[1])).parent,), daemon=True).start()
    if name != "open" or not isinstance(arguments[0], str | os.PathLike):
        return
    path = os.fspath(arguments[0])
    if not isinstance(path, str) or not path.endswith(".part"):
        return
    moment, port = asked()
    if moment and reached(moment, Path(path)):
        tell(port).recv(1)


def asked() -> tuple[str, int]:
    """Returns the moment and the port; none while the test asks for no renderer."""
    try:
        kind, moment, port = wanted.read_text().split()
    except FileNotFoundError:
        return "", 0
    return (moment, int(port)) if kind == "render" else ("", 0)


def tell(port: int) -> socket.socket:
    test = socket.create_connection(("127.0.0.1", port))
    test.sendall(b"%d\n" % os.getppid())
    return test


def stop_inside(cache: Path) -> None:
    """Stops the process with all its threads as soon as a segment is being written."""
    while not any(path.stat().st_nlink == 1 for path in cache.glob("*.mp4.*.part")):
        time.sleep(0.001)
    _, port = asked()
    if port:
        with tell(port):
            os.kill(os.getpid(), signal.SIGSTOP)


def reached(moment: str, path: Path) -> bool:
    """Whether the sound is being mixed, or one segment of the film is there by now and another is not."""
    if moment == "mix":
        return path.name.startswith("mix.")
    return moment == "segments" and ".mp4." in path.name and any(path.parent.glob("*.mp4"))


if "evergreen_server.media.render" in sys.orig_argv:
    sys.addaudithook(happening)
