"""Deletes what is below a scene, `scene.json` last, so that an interrupted deletion can be repeated."""

from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Final

from evergreen_storage.keys import FOLDERS
from evergreen_storage.parallel import map_concurrently
from evergreen_storage.scenes.index import INDEX
from evergreen_storage.storage import InvalidKey, Storage

# How many keys are held at once.
_PAGE: Final = 1000


async def delete_files(storage: Storage, folder: str) -> Sequence[str]:
    """Deletes all that is in the folder of a scene. Returns the paths of foreign files that cannot be removed."""
    index = f"{folder}{INDEX}"
    for name in FOLDERS:
        keys: list[str] = []
        with suppress(InvalidKey):  # a symbolic link, which goes with the rest
            async with aclosing(storage.list(f"{folder}{name}/", delimiter=True)) as entries:
                async for meta in entries:
                    if not meta.key.endswith("/") and meta.key != index:
                        keys.append(meta.key)
                    if len(keys) == _PAGE:
                        await map_concurrently(storage.delete, keys)
                        keys.clear()
        await map_concurrently(storage.delete, keys)
    await storage.clear(folder, keep=index)
    await storage.delete(index)
    return await storage.clear(folder)
