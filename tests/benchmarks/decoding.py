"""What it costs that pictures are decoded by processes of their own, beside the same work done in this one.

Measured in turn, one picture at a time; reported are medians. The first picture also waits for a decoder to start.
"""

import asyncio
import io
import tempfile
import time
from pathlib import Path
from statistics import median

from PIL import Image

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.pictures import prepare
from evergreen_server.media.tools import Media
from evergreen_server.ports.catalog import PictureRule
from tests.benchmarks.machine import ratio, table

SAMPLES = Path(__file__).parents[1] / "samples"
ROUNDS, QUICK_ROUNDS = 30, 8
PHONE = (4032, 3024)


def pictures() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    target = io.BytesIO()
    Image.merge("RGB", [Image.effect_noise(PHONE, 40.0)] * 3).save(target, "JPEG", quality=85, exif=exif)
    return {
        "a PNG passed on, 0.5 MB": (SAMPLES / "coffee.png").read_bytes(),
        "a JPEG with a profile, 0.1 MB": (SAMPLES / "rocket.jpg").read_bytes(),
        "a phone's JPEG, turned, 12 MP": target.getvalue(),
    }


async def measure(rounds: int) -> tuple[float, list[list[str]]]:
    rule, limits, rows = PictureRule(), MediaLimits(), []
    with tempfile.TemporaryDirectory() as folder:
        async with Media(private_hosts=(), limits=limits, temp_dir=Path(folder)) as media:
            begun = time.perf_counter()
            await media.picture((SAMPLES / "rocket.jpg").read_bytes(), rule, owner="p")
            first = time.perf_counter() - begun
            for name, data in pictures().items():
                pairs = []
                for _ in range(rounds):
                    begun = time.perf_counter()
                    here = prepare(data, rule, limits)
                    between = time.perf_counter()
                    there = await media.picture(data, rule, owner="p")
                    pairs.append((between - begun, time.perf_counter() - between))
                    assert here == there
                own, other = (median(times) * 1000 for times in zip(*pairs, strict=True))
                rows.append([name, f"{own:.1f}", f"{other:.1f}", f"{ratio(pairs):.2f}"])
    return first, rows


def run(*, quick: bool) -> None:
    first, rows = asyncio.run(measure(QUICK_ROUNDS if quick else ROUNDS))
    table(
        "Decoding in a process of its own",
        ("picture", "in this process, ms", "in a decoder, ms", "ratio"),
        rows,
        f"The first picture of all, with the start of a decoder: {first * 1000:.0f} ms.",
    )
