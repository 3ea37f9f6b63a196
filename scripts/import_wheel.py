"""Imports what the wheel holds, and proves that it came from the folder that the wheel was unpacked into, this one."""

from importlib import import_module
from pathlib import Path

MODULES = (
    "evergreen",
    "evergreen.v1.scene_pb2_grpc",
    "evergreen.v1.video_pb2_grpc",
    "evergreen_server",
    "evergreen_storage",
)


def main() -> None:
    for name in MODULES:
        origin = import_module(name).__file__
        if origin is None or not Path(origin).is_relative_to(Path.cwd()):
            raise SystemExit(f"{name} came from {origin}, not from the wheel")


if __name__ == "__main__":
    main()
