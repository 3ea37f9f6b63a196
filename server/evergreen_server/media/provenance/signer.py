"""Has films signed by a process for each, so that no fault of the library is one of the service."""

import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from evergreen_server.ports.signing import Signed, SignOrder, SignRefused
from evergreen_server.runtime.processes import Process, bare_environment
from evergreen_server.runtime.reload import FileUnusable
from evergreen_server.runtime.shield import run_to_end

__all__ = ["Signer"]

LIBRARY: Final = "c2pa"
START_SECONDS: Final = 60.0
BYTES_PER_SECOND: Final = 10_000_000
"""A film has so long, for the bytes of it and of its ingredients; ten times what it takes."""


class Signer:
    """Signs with a certificate chain and its key, PEM files that each process reads anew; implements `FilmSigner`."""

    def __init__(self, *, certificates: Path, key: Path, start_seconds: float = START_SECONDS) -> None:
        """`start_seconds` are the shortest time that any signature has."""
        self._certificates = certificates
        self._key = key
        self._start_seconds = start_seconds

    async def check(self) -> None:
        """Signs a picture, and reads it back. Raises FileUnusable where no film could be signed."""
        if importlib.util.find_spec(LIBRARY) is None:
            raise FileUnusable("to sign films (EVERGREEN_C2PA_CERT): pip install 'evergreen-video[provenance]'")
        try:
            await self._ask({}, self._start_seconds)
        except SignRefused as exc:
            raise FileUnusable(
                f"films cannot be signed with EVERGREEN_C2PA_CERT and EVERGREEN_C2PA_KEY: {exc}"
            ) from exc

    async def sign(self, order: SignOrder) -> Signed:
        """Signs a film, and reads the signed one back. Raises SignRefused."""
        asked: dict[str, object] = {
            "film": str(order.film),
            "out": str(order.out),
            "title": order.title,
            "ingredients": [{"title": each.title, "path": str(each.path)} for each in order.ingredients],
        }
        paths = [order.film, *(each.path for each in order.ingredients)]
        try:
            size = await asyncio.to_thread(lambda: sum(path.stat().st_size for path in paths))
        except OSError as exc:
            raise SignRefused(f"a file of the film cannot be read: {exc.strerror}") from exc
        answer = await self._ask(asked, self._start_seconds + size / BYTES_PER_SECOND)
        return Signed(**answer)

    async def _ask(self, asked: dict[str, object], seconds: float) -> dict[str, Any]:
        """Returns what a process answers. Raises SignRefused, also where it ends without an answer."""
        command = (sys.executable, "-P", "-m", "evergreen_server.media.provenance", str(os.getpid()))
        try:
            process = await Process.start(*command, env=bare_environment())
        except OSError as exc:
            raise SignRefused("the signer could not be started") from exc
        try:
            async with asyncio.timeout(seconds):
                with_keys = {**asked, "certificates": str(self._certificates), "key": str(self._key)}
                await process.send(json.dumps(with_keys).encode() + b"\n")
                answer = json.loads(await process.readline())
        except TimeoutError as exc:
            raise SignRefused(f"the signer took longer than {seconds:.0f} s") from exc
        except ValueError as exc:
            raise SignRefused("the signer ended without an answer") from exc
        finally:
            process.kill()
            await run_to_end(_end(process))
        if "refused" in answer:
            raise SignRefused(str(answer["refused"]))
        assert isinstance(answer, dict)
        return answer


async def _end(process: Process) -> None:
    await process.wait()
    process.close()
