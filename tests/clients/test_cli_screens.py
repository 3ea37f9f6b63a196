"""What is seen on a terminal while jobs are followed, of several sizes, as its screen shows it."""

import re
import signal
import time

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1.video_pb2 import ListVideosResponse, Output
from tests.clients.command_line import CommandLine
from tests.clients.scripted import DRAINING, Hold, ScriptedService, Step, checkpoint, event, job

BEGAN = Timestamp(seconds=int(time.time()))
SCENE = "projects/p/s/"


def ids(count: int) -> list[str]:
    return [f"0198c2d4-7f3a-7c11-9d5e-2f6b0e{number:06x}" for number in range(count)]


def running(revision: int, job_id: str, **fields: object) -> Step:
    given = {"stage": "JOB_STAGE_GENERATING", "progress": 0.41, "create_time": BEGAN, **fields}
    return event(revision, job_id, **given)


def ended(revision: int, job_id: str) -> Step:
    output = Output(asset=f"videos/{job_id}-1-1-0-with-a-name-that-is-wider-than-a-narrow-terminal.mp4")
    return event(revision, job_id, "SUCCEEDED", progress=1.0, charged_credits=25.0, outputs=[output])


def whole(rows: list[str], columns: int) -> str:
    """The rows as one text, in which a line that the terminal has broken is one again."""
    return "".join(row if len(row) == columns else f"{row}\n" for row in rows)


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("count", [3, 30])
async def test_a_table_is_never_torn_and_paths_stay(
    service: ScriptedService, evergreen: CommandLine, columns: int, count: int
) -> None:
    names = ids(count)
    last = names.pop()
    service.streams = [
        [
            *(running(number + 1, name) for number, name in enumerate([*names, last])),
            checkpoint(count),
            *(ended(count + number + 1, name) for number, name in enumerate(names)),
            Hold(),
        ]
    ]

    async with evergreen.on_terminal("job", "watch", "--project", "p", columns=columns) as terminal:
        total = f"project p: 1 under way, {count - 1} ended"
        await terminal.until(lambda rows: any(row.startswith(total) for row in rows))
        screen, scrolled = terminal.screen, terminal.scrolled
        terminal.process.send_signal(signal.SIGINT)
        code = await terminal.ended()

    told = whole([*scrolled, *screen], columns)
    paths = re.findall(
        rf"^{SCENE}videos/(\S+)-1-1-0-with-a-name-that-is-wider-than-a-narrow-terminal\.mp4$", told, re.M
    )
    assert paths == names
    assert whole(screen, columns).count(SCENE) >= min(count - 1, 3), "the last of them are in sight"
    assert [row.split()[0] for row in [*scrolled, *screen] if "STATE" in row] == ["JOB"]
    assert not re.search(r"…(?![0-9a-f]{8}\b)", "\n".join(screen)), "no word is cut"
    heads = next(row for row in screen if "STATE" in row).split()
    assert heads == [name for name in ("JOB", "KIND", "SCENE", "STATE", "STAGE", "DONE", "AGE") if name in heads]
    assert len(heads) == {60: 6, 80: 7, 120: 7}[columns]
    assert code == 130
    assert total in "\n".join(terminal.screen), "the table stays"


@pytest.mark.parametrize("columns", [60, 80, 120])
async def test_bars_are_never_torn_by_a_path_that_is_wider_than_the_terminal(
    service: ScriptedService, evergreen: CommandLine, columns: int
) -> None:
    names = ids(3)
    service.streams = [
        [
            *(running(number, name) for number, name in enumerate(names, 1)),
            *(ended(number, name) for number, name in enumerate(names, 4)),
        ]
    ]

    async with evergreen.on_terminal("job", "watch", *names, columns=columns) as terminal:
        code = await terminal.ended()

    told = whole(terminal.screen, columns).splitlines()
    assert code == 0
    assert [line for line in told if line.startswith(SCENE)] == [
        f"{SCENE}{ended(1, name).event.job.outputs[0].asset}" for name in names
    ]
    assert [line for line in told if not line.startswith(SCENE)] == [
        f"s …{name[-8:]}  SUCCEEDED  25 credits" for name in names
    ], "no bar is left"


async def test_delivery_moves_the_bar(service: ScriptedService, evergreen: CommandLine) -> None:
    [name] = ids(1)
    service.streams = [[running(1, name, stage="JOB_STAGE_DELIVERING", progress=0.59), Hold()]]

    async with evergreen.on_terminal("job", "watch", name, columns=80) as terminal:
        await terminal.until(lambda rows: any(re.search(r"DELIVERING .*9[3-9]%", row) for row in rows))


async def test_a_cancelled_job_says_so_and_no_share(service: ScriptedService, evergreen: CommandLine) -> None:
    first, second = ids(2)
    service.streams = [[running(1, first), event(2, second, "CANCELLED", create_time=BEGAN, end_time=BEGAN), Hold()]]

    async with evergreen.on_terminal("job", "watch", "--project", "p", columns=120) as terminal:
        screen = await terminal.until(lambda rows: any("1 under way, 1 ended" in row for row in rows))

    [row] = [row for row in screen if row.startswith(f"…{second[-8:]}")]
    assert "CANCELLED" in row
    assert "%" not in row


async def test_a_lost_server_is_one_line_that_counts(service: ScriptedService, evergreen: CommandLine) -> None:
    [name] = ids(1)
    service.streams = [[running(1, name), DRAINING], *[[DRAINING]] * 5, [ended(2, name)]]

    async with evergreen.on_terminal("job", "watch", name, columns=100) as terminal:
        await terminal.until(lambda rows: any(re.search(r"[2-9] tries in", row) for row in rows))
        assert sum("watch interrupted" in row for row in terminal.screen) <= 2
        code = await terminal.ended()

    assert code == 0
    assert sum("watch interrupted" in row for row in terminal.screen) == 1
    assert any(row.startswith("connected again after") for row in terminal.screen)


async def test_a_list_loses_columns_on_a_narrow_terminal_and_keeps_them_in_a_pipe(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    page = ListVideosResponse(jobs=[job(name, create_time=BEGAN) for name in ids(2)])
    service.answers["ListVideos"] = [page, page]

    async with evergreen.on_terminal("job", "list", columns=60) as terminal:
        code = await terminal.ended()
    piped = await evergreen("job", "list")

    assert code == 0
    assert "SCENE" in terminal.screen[0]
    assert "MODEL" not in terminal.screen[0]
    assert re.match(r"…0e000000  RUNNING", terminal.screen[1])
    assert re.search(r"\d+ (s|min) ago", terminal.screen[1])
    assert len(piped.stdout.splitlines()[0].split()) == 11
    assert ids(2)[0] in piped.stdout
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", piped.stdout)


async def test_a_dumb_terminal_gets_lines(service: ScriptedService, evergreen: CommandLine) -> None:
    [name] = ids(1)
    service.streams = [[running(1, name), ended(2, name)]]

    async with evergreen.on_terminal("job", "watch", name, columns=120, TERM="dumb") as terminal:
        code = await terminal.ended()

    assert code == 0
    assert terminal.screen[0].startswith(f"s …{name[-8:]}  GENERATING  41%")
