"""What the words of a command line mean, and what help says of them; no service is needed."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from evergreen.cli import names, output
from evergreen.cli.app import COMMANDS
from evergreen.cli.app import evergreen as root
from evergreen.cli.reading.moments import future, past
from evergreen.cli.reading.places import Place, place_of
from evergreen.cli.reading.sniffing import fits, fitting, place
from evergreen.cli.reading.texts import text_of
from evergreen.cli.work.messages import as_dict, word
from evergreen.v1.audit_pb2 import AuditAction
from evergreen.v1.scene_pb2 import Asset
from evergreen.v1.video_pb2 import (
    Event,
    GenerateVideoRequest,
    Job,
    JobState,
    MediaKind,
    MediaRole,
    OnUnknownSubmission,
    WatchProgressResponse,
)
from evergreen.v1.webhook_pb2 import DeliveryState
from evergreen.watch import FINAL_STATES

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def commands(group: click.Group = root, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in COMMANDS if group is root else group.commands:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))


@pytest.mark.parametrize("path", [words for words, _ in commands()], ids=" ".join)
def test_every_command_has_examples_whose_options_it_knows(path: tuple[str, ...]) -> None:
    command = dict(commands())[path]
    examples: tuple[str, ...] = command.examples

    assert examples
    for example in examples:
        assert example.lstrip().startswith(("evergreen ", "--", "ffmpeg "))
    shown = CliRunner().invoke(root, [*path, "--help"]).output
    assert examples[0] in shown
    options = {name for each in [*root.params, *command.params] for name in [*each.opts, *each.secondary_opts]}
    if isinstance(command, click.Group):
        options |= {name for each in command.commands.values() for param in each.params for name in param.opts}
    for text in examples:
        ours = text.partition(" | ")[0] if not text.startswith("ffmpeg") else text.partition(" | ")[2]
        assert {part for part in ours.split() if part.startswith("--") and part != "--"} <= options, text


def test_help_of_the_root_says_of_a_command_what_the_command_says() -> None:
    for name, (_, told) in COMMANDS.items():
        command = root.get_command(click.Context(root), name)
        assert command is not None
        first = told.split()[0]
        assert (command.help or "").startswith(first), name


def test_help_names_what_may_stand_behind_every_verb_in_one_line() -> None:
    shown = CliRunner().invoke(root, ["job", "cancel", "--help"]).output

    assert "Options of every command: --context, --endpoint, --output" in shown
    assert shown.count("--endpoint") == 1


def test_all_missing_options_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVERGREEN_PROJECT", "EVERGREEN_SCENE", "EVERGREEN_CONTEXT"):
        monkeypatch.delenv(name, raising=False)

    clip = CliRunner().invoke(root, ["video", "generate", "--prompt", "a fox"])
    speech = CliRunner().invoke(root, ["speech", "generate"], env={"EVERGREEN_SCENE": "s"})

    assert (clip.exit_code, speech.exit_code) == (2, 2)
    assert "Missing: '--project' (env var: 'EVERGREEN_PROJECT'), '--scene'" in clip.output
    assert "Missing: '--project' (env var: 'EVERGREEN_PROJECT'), '--text'." in speech.output


def test_help_and_completion_load_neither_grpc_nor_the_contract_nor_rich() -> None:
    modules = sorted({f"evergreen.cli.commands.{place.partition(':')[0]}" for place, _ in COMMANDS.values()})
    heavy = "'grpc', 'google.protobuf', 'rich', 'evergreen.wire', 'asyncio'"
    program = f"import sys, {', '.join(modules)}, evergreen.cli.app; print([m for m in ({heavy}) if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"


def test_the_package_has_all_its_names_though_it_loads_them_late() -> None:
    program = (
        "import sys, evergreen; early = 'grpc' in sys.modules\n"
        "from evergreen import *; from evergreen import WireClient\n"
        "print(early, evergreen.errors.CallError is CallError, 'WireClient' in dir(evergreen))\n"
        "try: evergreen.nothing\nexcept AttributeError as error: print(error)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "False True True\nmodule 'evergreen' has no attribute 'nothing'\n"


@pytest.mark.parametrize(
    ("words", "enum", "prefix"),
    [
        (names.STATES, JobState, "JOB_STATE_"),
        (names.KINDS, MediaKind, "MEDIA_KIND_"),
        (names.ROLES, MediaRole, "MEDIA_ROLE_"),
        (names.AUDIT_ACTIONS, AuditAction, "AUDIT_ACTION_"),
        (names.DELIVERY_STATES, DeliveryState, "DELIVERY_STATE_"),
        (names.ON_UNKNOWN, OnUnknownSubmission, "ON_UNKNOWN_SUBMISSION_"),
    ],
    ids=["states", "kinds", "roles", "audit", "deliveries", "on-unknown"],
)
def test_the_words_of_options_are_those_of_the_contract(words: tuple[str, ...], enum: object, prefix: str) -> None:
    assert words == tuple(name.removeprefix(prefix).lower() for name, value in enum.items() if value)


def test_final_states_are_those_of_the_client() -> None:
    assert {JobState.Value(f"JOB_STATE_{state.upper()}") for state in names.FINAL_STATES} == FINAL_STATES


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("2h", NOON - timedelta(hours=2), NOON + timedelta(hours=2)),
        ("10 m", NOON - timedelta(minutes=10), NOON + timedelta(minutes=10)),
        ("3D", NOON - timedelta(days=3), NOON + timedelta(days=3)),
        ("2026-01-31T18:00:00+01:00", *[datetime(2026, 1, 31, 17, tzinfo=UTC)] * 2),
        ("now", NOON, NOON),
    ],
)
def test_times_are_lengths_days_or_iso(text: str, before: datetime, after: datetime) -> None:
    assert (past(text, lambda: NOON), future(text, lambda: NOON)) == (before, after)


def test_yesterday_begins_at_midnight_of_this_machine_even_where_clocks_were_changed() -> None:
    yesterday, today = past("yesterday", lambda: NOON), past("today", lambda: NOON)

    assert (yesterday.hour, yesterday.minute, today.hour) == (0, 0, 0)
    assert (NOON.astimezone().date() - yesterday.date()).days == 1


@pytest.mark.parametrize("text", ["soon", "", "-2h", "9999999d", "2h30", "2026-13-01", "yesterday!"])
def test_what_is_no_time_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(click.BadParameter, match="2h, yesterday"):
        past(text)


def test_a_text_is_literal_from_a_file_or_a_mention(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("a fox\nat dawn\n", encoding="utf-8")

    assert text_of("a @fox", "--prompt") == "a @fox"
    assert text_of(f"@{file}", "--prompt") == "a fox\nat dawn"
    assert text_of("@@fox", "--prompt") == "@fox"
    assert text_of("@hero at dawn", "--prompt", tags=["hero"]) == "@hero at dawn"
    with pytest.raises(click.BadParameter, match=r"cannot read hero at dawn: No such file .* @@hero at dawn"):
        text_of("@hero at dawn", "--prompt", tags=["heroine"])


def test_a_text_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "long").write_text("x" * (1 << 20) + "y")

    with pytest.raises(click.BadParameter, match="it is not text"):
        text_of(f"@{tmp_path}/picture", "--prompt")
    with pytest.raises(click.BadParameter, match=r"longer than 1,048,576"):
        text_of(f"@{tmp_path}/long", "--prompt")
    with pytest.raises(click.BadParameter, match="Is a directory"):
        text_of(f"@{tmp_path}", "--prompt")


def test_a_path_is_taken_as_it_is_printed() -> None:
    whole = Place("film", "s1", "videos/x.mp4")

    assert place_of(str(whole), None, None) == whole
    assert place_of(f"/{whole}", "other", "s2") == whole
    assert place_of("videos/x.mp4", "film", "s1") == whole
    with pytest.raises(click.UsageError, match="of another scene than --scene s2"):
        place_of(str(whole), "film", "s2", given=frozenset({"project", "scene"}))
    for text in ("videos/x.mp4", "projects/film/s1", "projects/film/s1/elsewhere/x.mp4"):
        with pytest.raises(click.UsageError, match="--project and --scene, or its whole path"):
            place_of(text, None, None)


@pytest.mark.parametrize(
    ("name", "start", "folder"),
    [
        ("hero.PNG", b"", "images"),
        ("wrong.txt", b"\xff\xd8\xff\xe0", "images"),
        ("take", b"\0\0\0\x20ftypisom", "videos"),
        ("phone", b"\0\0\0\x20ftypheic", "images"),
        ("voice", b"RIFF\0\0\0\0WAVE", "audio"),
        ("still", b"RIFF\0\0\0\0WEBP", "images"),
        ("song", b"ID3\x04", "audio"),
        ("notes.txt", b"hello", "exports"),
        ("empty", b"", "exports"),
    ],
)
def test_a_file_goes_where_its_name_or_its_bytes_say(tmp_path: Path, name: str, start: bytes, folder: str) -> None:
    file = tmp_path / name
    file.write_bytes(start)

    assert place(str(file), None) == f"{folder}/{name}"
    assert place(str(file), "exports") == f"exports/{name}"
    assert place(str(file), "images/a.png") == "images/a.png"


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("My Hero ä.jpg", "my-hero-a.jpg"),
        (".hidden.png", "hidden.png"),
        ("日本.png", "file.png"),
        ("a" * 200 + ".wav", "a" * 100 + ".wav"),
        ("-", "file"),
        ("archive.tar.gz", "archive-tar.gz"),
    ],
)
def test_a_name_that_no_scene_takes_has_a_better_one(name: str, better: str) -> None:
    assert fitting(name) == better
    assert fits(better)


def test_json_has_numbers_zeros_and_the_words_of_options() -> None:
    job = Job(job_id="a", state="JOB_STATE_NEEDS_ATTENTION", revision=2**40, labels={"n": "1"})
    job.request.options.update({"audio": False, "n": 2})
    message = WatchProgressResponse(event=Event(kind="EVENT_KIND_PROGRESS", job=job), revision=46)
    message.event.time.FromJsonString("2026-01-01T00:00:00Z")

    told = as_dict(message)

    assert told["revision"] == 46
    assert told["event"]["time"] == "2026-01-01T00:00:00Z"
    assert told["event"]["kind"] == "progress"
    job_told = told["event"]["job"]
    assert (job_told["state"], job_told["stage"], job_told["revision"]) == ("needs_attention", "", 2**40)
    assert (job_told["progress"], job_told["attempt"], job_told["outputs"]) == (0, 0, [])
    assert (job_told["labels"], job_told["request"]["options"]) == ({"n": "1"}, {"audio": False, "n": 2})
    assert not job_told.keys() & {"charged_credits", "end_time", "error", "generate_request"}
    assert as_dict(Asset(size_bytes=828167))["size_bytes"] == 828167
    assert as_dict(GenerateVideoRequest(seed=0))["seed"] == 0
    assert "seed" not in as_dict(GenerateVideoRequest())


def test_a_state_that_is_newer_than_the_client_is_a_number() -> None:
    assert word(JobState.DESCRIPTOR, 99) == 99


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2, "0 s ago"),
        (59.7, "60 s ago"),
        (200, "3 min ago"),
        (7100, "2 h ago"),
        (170_000, "47 h ago"),
        (-90, "in 2 min"),
    ],
)
def test_times_are_told_as_people_do(seconds: float, told: str) -> None:
    assert output.ago(seconds) == told
