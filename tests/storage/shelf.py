"""A filesystem as a third party might write one for fsspec: synchronous, bare, and with a keyword of its own."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

from fsspec import AbstractFileSystem


class Shelf(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no type information
    """Keeps all files of one shelf in a dictionary of the process."""

    protocol = "shelf"
    shelves: dict[str, dict[str, bytes]] = {}  # noqa: RUF012  # shared on purpose, as a server would be

    def __init__(self, shelf: str, **options: Any) -> None:
        super().__init__(**options)
        self._files = self.shelves.setdefault(shelf, {})

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        if path in self._files:
            found = {path: self._entry(path)}
        else:
            found = {}
            prefix = f"{path}/" if path else ""
            for name in list(self._files):
                if name.startswith(prefix):
                    part, slash, _ = name[len(prefix) :].partition("/")
                    directory = {"name": prefix + part, "size": 0, "type": "directory"}
                    found[prefix + part] = directory if slash else self._entry(name)
            if not found:
                raise FileNotFoundError(path)
        return list(found.values()) if detail else list(found)

    def _entry(self, path: str) -> dict[str, Any]:
        return {"name": path, "size": len(self._files[path]), "type": "file"}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BytesIO:
        if mode == "rb":
            if path not in self._files:
                raise FileNotFoundError(path)
            return BytesIO(self._files[path])
        return _Writer(lambda data: self._files.__setitem__(path, data))

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        self._files[self._strip_protocol(path2)] = self._files[self._strip_protocol(path1)]

    def _rm(self, path: str) -> None:
        try:
            del self._files[self._strip_protocol(path)]
        except KeyError:
            raise FileNotFoundError(path) from None


class _Writer(BytesIO):
    def __init__(self, done: Callable[[bytes], object]) -> None:
        super().__init__()
        self._done = done

    def close(self) -> None:
        if not self.closed:
            self._done(self.getvalue())
        super().close()
