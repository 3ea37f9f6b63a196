"""What is seen in a film: the right frames, in the right colours, the right way up."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from evergreen_server.media.render.copying import copies
from evergreen_server.ports.rendering import RenderRefused
from evergreen_server.ports.timeline import Blend, Fit
from tests.media.render.reel import SMALL, Cutting, Rows, clip, number_of, of, picture_md5s, psnr, scene

FINE = replace(SMALL, crf=6)
"""It shows how well a picture is converted, where what is lost in encoding would hide it."""
ALIKE_DB = 40.0


async def test_whole_clips_of_one_form_are_copied_frame_by_frame(cutting: Cutting, tmp_path: Path) -> None:
    clips = [clip(tmp_path / f"{number}.mp4", turn=number / 3, frames=20 + number, sound=0.1) for number in range(3)]

    made, film = await cutting.film(of(*(cutting.span(path, 20 + number) for number, path in enumerate(clips))))

    assert (made.copied, made.frames, made.segments_made) == (True, 63, 0)
    assert picture_md5s(film.path) == [each for path in clips for each in picture_md5s(path)]
    assert film.starts == {"video": 0, "audio": 0}
    assert film.lengths == {"video": Fraction(63, 24), "audio": Fraction(63, 24)}
    assert list((cutting.folder / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [
        {"size": (128, 72)},
        {"fps": 25},
        {"pixels": "yuv422p"},
        {"options": {"bf": "0", "g": "7"}},
        {"rotated": 180},
        {"aspect": Fraction(4, 3)},
        {"matrix": 5},
        {"codec": "mpeg4"},
        {"frames": 25},
    ],
)
def test_clips_that_differ_are_not_copied(cutting: Cutting, tmp_path: Path, other: dict[str, Any]) -> None:
    one, two = clip(tmp_path / "1.mp4", frames=12), clip(tmp_path / "2.mp4", **{"frames": 12, **other})
    film = of(cutting.span(one, 12), cutting.span(two, 12))

    assert copies(film, SMALL, cutting.files) is None
    assert copies(of(film.spans[0], film.spans[0]), SMALL, cutting.files) is not None


@pytest.mark.parametrize("changed", [{"width": 128, "height": 72}, {"fps": 25}])
async def test_clips_that_are_not_in_the_form_asked_for_are_conformed(
    cutting: Cutting, tmp_path: Path, changed: dict[str, int]
) -> None:
    span = cutting.span(clip(tmp_path / "1.mp4", frames=12), 12)

    made, film = await cutting.film(of(span), replace(SMALL, **changed))

    assert (made.copied, len(film.pictures)) == (False, 12)
    assert film.pictures[0].shape[:2] == (changed.get("height", 90), changed.get("width", 160))


@pytest.mark.parametrize(
    "changed", [{"frames": 11}, {"still": True}, {"blend": Blend.DISSOLVE, "blend_frames": 2}, {"source": None}]
)
def test_what_is_more_than_whole_clips_and_cuts_is_not_copied(
    cutting: Cutting, tmp_path: Path, changed: dict[str, Any]
) -> None:
    span = cutting.span(clip(tmp_path / "1.mp4", frames=12), 12)

    assert copies(of(span, replace(span, **changed)), SMALL, cutting.files) is None


async def test_ten_clips_of_ten_forms_keep_frames_colours_and_the_way_up(cutting: Cutting, tmp_path: Path) -> None:
    forms: list[dict[str, Any]] = [
        {},
        {"size": (320, 180), "tagged": False, "matrix": 5},
        {"size": (1280, 720), "tagged": False},
        {"size": (90, 160), "rotated": 90},
        {"size": (90, 160), "rotated": 270, "fps": 30},
        {"size": (160, 90), "rotated": 180, "sound": 0.1},
        {"size": (120, 90), "aspect": Fraction(4, 3)},
        {"codec": "libx265", "pixels": "yuv420p10le", "options": {"x265-params": "log-level=none", "crf": "8"}},
        {"codec": "mjpeg", "pixels": "yuvj420p", "matrix": 5, "options": {"qmin": "1", "qmax": "1"}},
        {"size": (320, 180), "fps": 60, "frames": 30},
    ]
    spans = []
    for number, form in enumerate(forms):
        path = tmp_path / f"{number}.{'mov' if form.get('codec') == 'mjpeg' else 'mp4'}"
        spans.append(cutting.span(clip(path, **{"frames": 12, "turn": number / 10, **form}), 12))

    made, film = await cutting.film(of(*spans), FINE)

    assert (made.segments_made, len(film.pictures)) == (10, 120)
    for number in range(10):
        shown, rate = film.pictures[number * 12 : number * 12 + 12], forms[number].get("fps", 24)
        expected = scene(160, 90, 0, number / 10)
        alike = min(psnr(picture, expected) for picture in shown)
        assert alike >= ALIKE_DB, f"clip {number}: {alike:.1f} dB"
        told = [number_of(picture) for picture in shown]
        if rate == 24:
            assert told == list(range(12))
        else:
            # The nearest frame is seen, and the last one as long as it takes.
            assert isinstance(rate, int)
            nearest = [max(k for k in range(30) if int(k * 24 / rate + 0.5) <= n) for n in range(9)]
            assert told[:9] == nearest
    assert film.lengths["audio"] == film.lengths["video"] == 5


async def test_of_a_longer_clip_the_beginning_is_seen_and_of_a_shorter_one_the_last_frame_is_held(
    cutting: Cutting, tmp_path: Path
) -> None:
    long, short = clip(tmp_path / "long.mp4", frames=30), clip(tmp_path / "short.mp4", frames=10, turn=0.5)

    made, film = await cutting.film(of(cutting.span(long, 17), cutting.span(short, 19)))

    assert film.numbers == [*range(17), *range(10), *[9] * 9]
    assert made.warnings == ("CLIP_SHORT: span 1: the clip is 9 frames too short; its last one is held",)


@pytest.mark.parametrize(
    ("fit", "size"), [(fit, size) for fit in Fit for size in ((320, 90), (90, 160))], ids=lambda value: str(value)
)
async def test_a_picture_of_another_shape_fills_the_frame(
    cutting: Cutting, tmp_path: Path, fit: Fit, size: tuple[int, int]
) -> None:
    span = cutting.span(clip(tmp_path / "1.mp4", size=size, frames=2, marked=False), 2)

    _, film = await cutting.film(of(span), replace(FINE, fit=fit))

    width, height = size
    factor = (max if fit is Fit.CROP else min)(160 / width, 90 / height)
    whole = scene(2 * round(width * factor / 2), 2 * round(height * factor / 2), None)
    rows, columns = min(90, whole.shape[0]), min(160, whole.shape[1])
    # Colours, of which there are fewer, run a little over the edge.
    inner, outer = (_middle(each, rows, columns)[4:-4, 4:-4] for each in (film.pictures[0], whole))
    assert psnr(inner, outer) >= 38
    bar = film.pictures[0][:10, :10]
    if fit is Fit.PAD:
        assert bar.max() <= 2
    else:
        assert bar.min() > 20


def _middle(picture: Rows, rows: int, columns: int) -> Rows:
    top, left = (picture.shape[0] - rows) // 4 * 2, (picture.shape[1] - columns) // 4 * 2
    return picture[top : top + rows, left : left + columns]


async def test_a_dissolve_blends_across_the_cut_and_moves_nothing(cutting: Cutting, tmp_path: Path) -> None:
    one, two = clip(tmp_path / "1.mp4", frames=24), clip(tmp_path / "2.mp4", frames=24, turn=0.5)
    first = cutting.span(one, 20, blend=Blend.DISSOLVE, blend_frames=8)

    _, film = await cutting.film(of(first, cutting.span(two, 20)))

    a, b = (scene(160, 90, 0, turn).astype(float) for turn in (0.0, 0.5))
    shares = [float(((picture - a) * (b - a)).sum() / ((b - a) ** 2).sum()) for picture in film.pictures]
    assert len(film.pictures) == 40
    assert shares[:16] == pytest.approx([0.0] * 16, abs=0.03)
    assert shares[16:24] == pytest.approx([n / 9 for n in range(1, 9)], abs=0.03)
    assert shares[24:] == pytest.approx([1.0] * 16, abs=0.03)
    # The held frames are those at the cut: the last that is seen of the one, the first of the other.
    assert film.numbers[16] == pytest.approx(16 * 8 / 9 + 0 / 9, abs=1)
    assert film.numbers[23] == pytest.approx(3 * 8 / 9 + 19 / 9, abs=1)


async def test_black_is_gone_into_before_the_cut_and_left_after_it(cutting: Cutting, tmp_path: Path) -> None:
    path = clip(tmp_path / "1.mp4", frames=20)
    dark = {"blend": Blend.BLACK, "blend_frames": 8}

    _, film = await cutting.film(
        of(cutting.span(path, 20, **dark), cutting.span(None, 4), cutting.span(path, 20, **dark))
    )

    light = [float(picture[:20].mean()) for picture in film.pictures]
    assert light[:15] == pytest.approx([light[0]] * 15, abs=4)
    assert light[15:20] == sorted(light[15:20], reverse=True)
    assert max(light[19:24]) <= 2
    assert light[24:39] == pytest.approx([light[0]] * 15, abs=4)
    assert light[43] <= 2


async def test_a_picture_is_seen_with_a_slow_move_towards_its_middle(cutting: Cutting, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(scene(640, 360)).save(path)

    _, film = await cutting.film(of(cutting.span(path, 48, still=True)), FINE)

    assert len(film.pictures) == 48
    assert psnr(film.pictures[0], scene(160, 90)) >= ALIKE_DB
    differences = [psnr(picture, film.pictures[0]) for picture in film.pictures[4::8]]
    assert differences == sorted(differences, reverse=True)
    assert differences[-1] > 20
    # Nearer by 1.2 % a second.
    near = numpy.asarray(
        Image.fromarray(scene(640, 360)).resize(
            (160, 90), box=(_edge(640), _edge(360), 640 - _edge(640), 360 - _edge(360))
        )
    )
    assert psnr(film.pictures[47], near) >= ALIKE_DB


def _edge(side: int) -> float:
    return side * (1 - 1 / (1 + 0.012 * 47 / 24)) / 2


async def test_a_picture_that_lies_on_its_side_is_seen_upright(cutting: Cutting, tmp_path: Path) -> None:
    path, exif = tmp_path / "picture.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(numpy.rot90(scene(320, 180), 1).copy()).save(path, quality=95, exif=exif)

    _, film = await cutting.film(of(cutting.span(path, 2, still=True)), FINE)

    assert psnr(film.pictures[0], scene(160, 90)) >= 38


@pytest.mark.parametrize("transfer", [16, 18])
async def test_an_hdr_clip_is_refused_by_the_index_of_its_span(cutting: Cutting, tmp_path: Path, transfer: int) -> None:
    form = {"codec": "libx265", "pixels": "yuv420p10le", "options": {"x265-params": "log-level=none"}}
    good = cutting.span(clip(tmp_path / "1.mp4"))
    hdr = cutting.span(clip(tmp_path / "2.mp4", matrix=9, transfer=transfer, **form))

    with pytest.raises(RenderRefused, match="HDR") as caught:
        await cutting.film(of(good, hdr))

    assert (caught.value.code, caught.value.span) == ("CLIP_UNSUPPORTED", 1)
    assert cutting.unfinished() == []


async def test_a_broken_clip_is_named_also_where_only_its_edge_is_seen(cutting: Cutting, tmp_path: Path) -> None:
    good, broken = clip(tmp_path / "1.mp4"), tmp_path / "2.mp4"
    broken.write_bytes(good.read_bytes()[:900])
    first = cutting.span(good, blend=Blend.DISSOLVE, blend_frames=8)

    with pytest.raises(RenderRefused) as caught:
        await cutting.film(of(first, cutting.span(broken)))

    assert (caught.value.code, caught.value.span) == ("CLIP_UNSUPPORTED", 1)


async def test_a_file_that_is_not_there_is_named(cutting: Cutting, tmp_path: Path) -> None:
    good = cutting.span(clip(tmp_path / "1.mp4"))

    with pytest.raises(RenderRefused, match=r"2\.mp4 is not there") as caught:
        await cutting.film(of(good, cutting.span(tmp_path / "2.mp4")))

    assert (caught.value.code, caught.value.span) == ("RENDER_FAILED", 1)
