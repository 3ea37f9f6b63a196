"""Client of Evergreen: generates video clips, pictures, speech and sounds through one gRPC service.

    with Client() as client:
        clip = client.generate(project_id="p", scene_id="s", model="gen4_turbo", image="picture.jpg")
        print(clip.download("clip.mp4"))

`AsyncClient` is the same for asyncio. Jobs come as values; `Job.message` is the message of `evergreen.v1` that each was
read from, and the calls of `AsyncClient.wire` answer with messages alone.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evergreen.public import *  # noqa: F403 - `public` names what it exports


def __getattr__(name: str) -> object:
    # Loading gRPC and the contract takes as long as many a command of the command line, which may not need them.
    if name == "__version__":
        from importlib.metadata import version

        return version("evergreen-video")
    if name.startswith("__") and name != "__all__":
        raise AttributeError(name)
    if find_spec(f"{__name__}.{name}") is not None:
        # One of our modules, which the others import from here too.
        return import_module(f"{__name__}.{name}")
    public = import_module("evergreen.public")
    if not hasattr(public, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(public, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    public = import_module("evergreen.public")
    return sorted({*globals(), *public.__all__})
