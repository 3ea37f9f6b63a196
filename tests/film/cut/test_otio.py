"""A cut as editors read it: OpenTimelineIO finds every file at its place, for as long as the film shows it."""

import json
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest
from opentimelineio import adapters, opentime, schema

from evergreen_server.film.cut.cutting import Cut, Used
from evergreen_server.film.cut.otio import otio
from evergreen_server.film.model import Transition
from evergreen_server.film.screenplay.script import TransitionKind
from evergreen_server.film.statuses import Status
from evergreen_server.ports.timeline import Source
from tests.film.cut.cuts import MUSIC, TALL, WIDE, cut_of, sample, used_of, with_transition
from tests.film.planning import film, scenes_of

SHORT = film(scenes_of(3))
MADE = used_of(SHORT)


def read(made: Cut, files: Iterable[Used], title: str = "A film", fps: int = 24) -> schema.Timeline:
    profile = TALL if fps == 25 else WIDE
    return adapters.read_from_string(otio(made, files, title=title, profile=profile), "otio_json")


def tracks(timeline: schema.Timeline) -> dict[str, schema.Track]:
    return {track.name: track for track in timeline.tracks}


def places(track: schema.Track) -> list[tuple[str, float, float]]:
    """Returns what lies on a track: its name, and start and length in seconds of the film."""
    found = []
    for child in track:
        if isinstance(child, schema.Clip):
            span = track.range_of_child(child)
            found.append((child.name, opentime.to_seconds(span.start_time), opentime.to_seconds(span.duration)))
    return found


@pytest.mark.parametrize("name", ["the-lamp.fountain", "the-orchard.av.txt", "night-market.md"])
@pytest.mark.parametrize("fps", [24, 25])
def test_samples_are_read_back_with_every_shot_and_sound_at_its_place(name: str, fps: int) -> None:
    one = sample(name)
    used = used_of(one)
    made = cut_of(one, used, profile=TALL if fps == 25 else WIDE)

    found = tracks(read(made, used.values(), fps=fps))

    begin, shown = 0, places(found["Picture"])
    for shot, span in zip(made.shots, made.timeline.spans, strict=True):
        # A clip that is held has a second piece.
        pieces = [(start, length) for name, start, length in shown if name == shot]
        assert pieces[0][0] == pytest.approx(begin / fps)
        assert sum(length for _, length in pieces) == pytest.approx(span.frames / fps)
        begin += span.frames
    spoken = [
        (item, sound.start)
        for sound, item in zip(made.timeline.sounds, made.items, strict=True)
        if sound.heard == "SPEECH"
    ]
    assert [item for item, _, _ in places(found["Speech"])] == [item for item, _ in spoken]
    for (_, start, length), (item, asked) in zip(places(found["Speech"]), spoken, strict=True):
        assert start == pytest.approx(asked, abs=1 / 48_000)
        assert length == pytest.approx(used[f"{item}/speech"].seconds, abs=1 / 48_000)


def test_files_are_named_from_where_the_export_lies() -> None:
    timeline = read(cut_of(SHORT, MADE, music=MUSIC), [*MADE.values(), MUSIC])

    named = {
        str(clip.media_reference.target_url): clip.media_reference.metadata["evergreen"]["sha256"]
        for clip in timeline.find_clips()
    }
    beside = PurePosixPath("projects/p/my-film/exports")
    reached = set()
    for url in named:
        path = beside
        for part in PurePosixPath(unquote(url)).parts:
            path = path.parent if part == ".." else path / part
        reached.add(str(path))
    kept = [file.source for key, file in MADE.items() if not key.endswith("/picture")] + [MUSIC.source]
    assert reached == {f"projects/p/{source.scene_id}/{source.asset}" for source in kept}
    assert set(named.values()) == {source.sha256 for source in kept}


@pytest.mark.parametrize("asset", ["videos/a b#1?.mp4", "videos/100%.mp4", "videos/ä 漢.mp4", "videos/a:b&c'\".mp4"])
def test_names_of_any_characters_are_escaped(asset: str) -> None:
    file = Used(source=Source(scene_id="scene-1", asset=asset, sha256="a" * 64), seconds=9.0)
    used = MADE | {"scene-1.1/clip": file}

    [first, *_] = read(cut_of(SHORT, used), used.values()).find_clips()

    url = first.media_reference.target_url
    assert unquote(url) == f"../../scene-1/{asset}"
    assert not set(url) & set(' #?"')


def test_no_clip_asks_for_more_than_its_file_has() -> None:
    used = used_of(SHORT, lambda key, usual: 1.5 if key == "scene-2.1/clip" else usual)

    timeline = read(cut_of(SHORT, used, music=MUSIC), [*used.values(), MUSIC])

    for clip in timeline.find_clips():
        available, asked = clip.available_range(), clip.source_range
        assert available.start_time <= asked.start_time < available.end_time_exclusive()
        # A frame that is held lasts for longer than it is in its file.
        assert clip.effects or asked.end_time_exclusive() <= available.end_time_exclusive()
    held = [clip for clip in timeline.find_clips() if clip.effects]
    [one] = held
    assert isinstance(one.effects[0], schema.FreezeFrame)
    assert (one.name, one.source_range.start_time.value) == ("scene-2.1", 35)


def test_music_begins_again_until_the_film_is_over() -> None:
    made = cut_of(SHORT, MADE, music=MUSIC)

    found = places(tracks(read(made, [*MADE.values(), MUSIC]))["Music"])

    seconds = made.timeline.frames / 24
    assert [length for _, _, length in found] == pytest.approx([10.0] * int(seconds // 10) + [seconds % 10])


@pytest.mark.parametrize("seconds", [0.001, None])
def test_music_of_no_known_or_hardly_any_length_is_written_once(seconds: float | None) -> None:
    music = Used(source=MUSIC.source, seconds=seconds)
    made = cut_of(SHORT, MADE, music=music)

    [only] = places(tracks(read(made, [*MADE.values(), music]))["Music"])

    assert only[1:] == (0, pytest.approx(made.timeline.frames / 24))


def test_transitions_lie_between_the_shots_that_they_blend() -> None:
    one = with_transition(
        SHORT,
        scene_1=Transition(kind=TransitionKind.DISSOLVE, seconds=1.0),
        scene_3=Transition(kind=TransitionKind.BLACK, seconds=0.5),
    )

    picture = tracks(read(cut_of(one), MADE.values()))["Picture"]

    found = [(index, child) for index, child in enumerate(picture) if isinstance(child, schema.Transition)]
    assert [(index, child.transition_type, child.in_offset.value) for index, child in found] == [
        (1, schema.TransitionTypes.SMPTE_Dissolve, 12),
        (4, schema.TransitionTypes.Custom, 6),
    ]


def test_a_still_picture_lasts_as_long_as_it_is_seen() -> None:
    made = cut_of(SHORT, MADE, scene_2_1_clip=Status.STILL)

    clip = list(tracks(read(made, MADE.values()))["Picture"])[1]

    assert not clip.effects
    assert clip.media_reference.target_url.endswith("picture")
    assert clip.source_range.duration.value == made.timeline.spans[1].frames


def test_a_title_of_any_text_is_kept() -> None:
    title = 'A "film" \\ of\n<b>漢字</b> \u202e --> 100%'

    assert read(cut_of(SHORT), MADE.values(), title).name == title
    json.loads(otio(cut_of(SHORT), MADE.values(), title=title, profile=WIDE))
