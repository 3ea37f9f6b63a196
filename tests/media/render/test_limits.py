"""What renderers take of the machine at most."""

from evergreen_server.media.render.limits import RenderLimits


def test_large_frames_are_encoded_one_segment_at_a_time() -> None:
    limits = RenderLimits()

    sizes = [(64, 64), (1280, 720), (1920, 1080), (3840, 2160), (4096, 4096)]
    assert [limits.segments_of(*size) for size in sizes] == [2, 2, 2, 1, 1]
    assert RenderLimits(segments_at_once=9).segments_of(1920, 1080) == 4
