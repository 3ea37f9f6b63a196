"""Makes things in a sandbox and fetches them, whichever operation makes them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
from numpy.typing import NDArray

from tests.providers.runway.sandbox.driver import Caller, opened

LONG_ENOUGH = 4000
"""Simulated seconds after which every task of these tests has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    ending: str
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A task that has succeeded: how it was answered, how it ended, and its files."""

    answer: Any
    task: Any
    files: list[File]

    @property
    def file(self) -> File:
        [only] = self.files
        return only


async def made(runway: Caller, path: str, body: Mapping[str, object]) -> Made:
    reply = await runway.call("POST", f"/v1/{path}", json=body)
    assert reply.status == 200, reply.data
    await runway.advance(LONG_ENOUGH)
    task = await runway.task(reply.json["id"])
    assert task["status"] == "SUCCEEDED"
    files = []
    for url in task["output"]:
        got = await runway.call("GET", url, headers={})
        assert got.status == 200
        ending = urlsplit(url).path.rpartition(".")[2]
        files.append(File(ending=ending, content_type=got.headers["Content-Type"], data=got.data))
    return Made(answer=reply.json, task=task, files=files)


async def shared() -> AsyncIterator[Caller]:
    """One sandbox for a whole module, by a fixture of its own."""
    async with opened() as caller:
        yield caller


def samples(data: bytes) -> tuple[NDArray[np.float32], int, str]:
    """Returns the mono samples of a sound, how many there are in a second, and the codec."""
    with av.open(BytesIO(data)) as container:
        stream = container.streams.audio[0]
        rate, codec = stream.codec_context.sample_rate, stream.codec_context.name
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        frames = [piece for frame in container.decode(stream) for piece in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), rate, codec


def pitch(sound: NDArray[np.float32], rate: int) -> float:
    """Returns the loudest frequency of a sound, in hertz."""
    return float(np.fft.rfftfreq(len(sound), 1 / rate)[np.abs(np.fft.rfft(sound)).argmax()])
