"""What names a renderer: anything by which the same film would look another way."""

from pathlib import Path

from evergreen_server.media.render.version import renderer_version


def test_another_font_of_captions_is_another_renderer(tmp_path: Path) -> None:
    font = tmp_path / "font.ttf"
    font.write_bytes(b"one font")
    first = renderer_version(font)
    copy = tmp_path / "copy.ttf"
    copy.write_bytes(b"one font")
    font.write_bytes(b"another font")

    assert len({renderer_version(), first, renderer_version(font)}) == 3
    assert renderer_version(copy) == first
