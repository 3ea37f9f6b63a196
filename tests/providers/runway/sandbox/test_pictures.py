"""Pictures as they are asked for: exact sizes, formats, several at once, references to be seen, larger ones."""

from collections.abc import AsyncIterator
from io import BytesIO
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from PIL import Image

from evergreen_server.providers.runway.rendering.pictures import thumbnail_boxes
from tests.providers.runway.sandbox.driver import Caller, data_uri, picture
from tests.providers.runway.sandbox.making import File, made, shared

pytestmark = pytest.mark.asyncio(loop_scope="module")

GREEN, BLUE = (20, 200, 40), (30, 40, 220)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async for caller in shared():
        yield caller


def one_colour(colour: tuple[int, int, int], size: tuple[int, int] = (640, 640), *, alpha: int = 255) -> str:
    out = BytesIO()
    Image.new("RGBA", size, (*colour, alpha)).save(out, "PNG")
    return data_uri(out.getvalue())


def read(file: File) -> Image.Image:
    found = Image.open(BytesIO(file.data))
    found.load()
    return found


WIDE = {"uri": one_colour(GREEN, (1024, 512))}

ASKED = [
    # (members of the body, sides at a quarter of the size, format, how many)
    ({"model": "gen4_image", "ratio": "1280:720"}, (320, 180), "PNG", 1),
    ({"model": "gen4_image", "ratio": "1168:880"}, (292, 220), "PNG", 1),
    ({"model": "gemini_image3_pro", "ratio": "6336:2688", "outputCount": 4}, (1584, 672), "PNG", 4),
    ({"model": "gpt_image_2", "ratio": "auto"}, (720, 720), "PNG", 1),
    ({"model": "gpt_image_2", "ratio": "auto", "referenceImages": [WIDE]}, (1018, 509), "PNG", 1),
    ({"model": "seedream5_lite", "ratio": "2400:1600"}, (600, 400), "PNG", 1),
    ({"model": "seedream5_pro", "ratio": "auto_2k", "outputFormat": "jpeg"}, (512, 512), "JPEG", 1),
    ({"model": "seedream5_pro", "ratio": "auto_1k", "referenceImages": [WIDE]}, (362, 181), "PNG", 1),
    ({"model": "muse_image", "ratio": "auto", "outputFormat": "webp", "outputCount": 2}, (400, 400), "WEBP", 2),
    ({"model": "bria_fibo_edit_1_5", "referenceImages": [WIDE]}, (256, 128), "PNG", 1),
    ({"model": "ideogram_4_0"}, (512, 512), "PNG", 1),
    ({"model": "ideogram_4_5", "referenceImages": [WIDE], "preciseEdit": True}, (256, 128), "PNG", 1),
    ({"model": "recraft_v4_1_flash", "ratio": "1536:768"}, (384, 192), "WEBP", 1),
    ({"model": "recraft_v4_1_flash", "ratio": "1024:1024", "outputFormat": "png"}, (256, 256), "PNG", 1),
]


@pytest.mark.parametrize(("asked", "size", "form", "number"), ASKED)
async def test_a_picture_has_the_size_and_the_format_that_were_asked_for(
    runway: Caller, asked: dict[str, object], size: tuple[int, int], form: str, number: int
) -> None:
    done = await made(runway, "text_to_image", {"promptText": "a lighthouse", **asked})

    endings = {"PNG": ("png", "image/png"), "JPEG": ("jpg", "image/jpeg"), "WEBP": ("webp", "image/webp")}
    assert [(file.ending, file.content_type) for file in done.files] == [endings[form]] * number
    assert {(read(file).size, read(file).format) for file in done.files} == {(size, form)}
    assert len({file.data for file in done.files}) == number
    assert set(done.answer) == {"id", "estimatedCost"}


async def test_every_reference_is_to_be_seen_in_the_picture(runway: Caller) -> None:
    references = [{"uri": one_colour(GREEN), "tag": "hedge"}, {"uri": one_colour(BLUE), "tag": "sea"}]
    asked = {"model": "gen4_image", "promptText": "@hedge by the @sea", "ratio": "1280:720"}

    seen = read((await made(runway, "text_to_image", {**asked, "referenceImages": references})).file)
    plain = read((await made(runway, "text_to_image", asked)).file)

    middles = [
        ((left + right) // 2, (top + bottom) // 2) for left, top, right, bottom in thumbnail_boxes(2, *seen.size)
    ]
    assert [seen.getpixel(middle) for middle in middles] == [GREEN, BLUE]
    assert [plain.getpixel(middle) for middle in middles] != [GREEN, BLUE]


async def test_a_prompt_and_a_seed_have_a_picture_of_their_own(runway: Caller) -> None:
    async def drawn(prompt: str, **more: object) -> bytes:
        asked = {"model": "gen4_image", "promptText": prompt, "ratio": "720:720", **more}
        return (await made(runway, "text_to_image", asked)).file.data

    assert await drawn("a fox") == await drawn("a fox") != await drawn("a hen")
    assert await drawn("a fox", seed=1) == await drawn("a fox", seed=1) != await drawn("a fox", seed=2)


@pytest.mark.parametrize(("background", "clear"), [("transparent", True), ("opaque", False), ("auto", False)])
async def test_only_a_transparent_ground_is_transparent(runway: Caller, background: str, clear: bool) -> None:
    asked = {"model": "gpt_image_2", "promptText": "a cup", "ratio": "1920:1088", "background": background}

    drawn = read((await made(runway, "text_to_image", {**asked, "quality": "low"})).file)

    assert (drawn.mode == "RGBA") is clear
    if clear:
        assert drawn.getchannel("A").getextrema() == (0, 255)


async def test_vectors_are_drawn_as_svg(runway: Caller) -> None:
    done = await made(runway, "text_to_image", {"model": "recraft_v4_1_vector", "promptText": "a sign"})

    drawn = ElementTree.fromstring(done.file.data)
    assert (done.file.ending, done.file.content_type) == ("svg", "image/svg+xml")
    assert (drawn.tag, drawn.get("width"), drawn.get("height")) == ("{http://www.w3.org/2000/svg}svg", "256", "256")
    assert len(drawn) > 3


@pytest.mark.parametrize(("factor", "size"), [(None, (160, 200)), (4, (320, 400)), (8, (640, 800))])
async def test_an_upscaled_picture_is_the_input_so_many_times_larger(
    runway: Caller, factor: int | None, size: tuple[int, int]
) -> None:
    asked: dict[str, object] = {
        "model": "magnific_precision_upscaler_v2",
        "imageUri": one_colour(BLUE, (320, 400), alpha=90),
    }
    if factor is not None:
        asked["scaleFactor"] = factor

    larger = read((await made(runway, "image_upscale", asked)).file)

    assert (larger.size, larger.mode) == (size, "RGBA")
    assert larger.getpixel((80, 100)) == pytest.approx((*BLUE, 90), abs=2)


async def test_a_photograph_is_enlarged_without_transparency_as_it_is_displayed(runway: Caller) -> None:
    out, turned = BytesIO(), Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (600, 400), GREEN).save(out, "JPEG", exif=turned)
    asked = {"model": "magnific_precision_upscaler_v2", "imageUri": data_uri(out.getvalue(), "image/jpeg")}

    larger = read((await made(runway, "image_upscale", asked)).file)

    assert (larger.size, larger.mode) == ((200, 300), "RGB")


async def test_an_output_is_only_served_under_its_own_name(runway: Caller) -> None:
    body = {"model": "gen4_image", "promptText": "a fox", "ratio": "720:720"}
    done = await made(runway, "text_to_image", body)
    url = done.task["output"][0]

    others = [url.replace("/0.png", name) for name in ("/1.png", "/0.jpg", "/0.mp4", "/x.png", "/0")]

    assert [(await runway.call("GET", other, headers={})).status for other in others] == [404] * 5


async def test_a_page_in_place_of_a_picture_is_announced_as_one(runway: Caller) -> None:
    await runway.fault("not_a_video", rule={"operation": "output"})
    body = {"model": "gen4_image", "promptText": "a fox", "ratio": "720:720"}

    file = (await made(runway, "text_to_image", body)).file

    assert file.content_type == "image/png"
    assert b"<html>" in file.data


async def test_a_reference_that_is_a_video_is_refused(runway: Caller) -> None:
    asked = {"model": "gen4_image", "promptText": "x", "ratio": "720:720"}
    reply = await runway.call(
        "POST", "/v1/text_to_image", json={**asked, "referenceImages": [{"uri": data_uri(picture(), "video/mp4")}]}
    )

    assert reply.status == 400
    assert reply.json["issues"][0]["path"][:2] == ["referenceImages", 0]
