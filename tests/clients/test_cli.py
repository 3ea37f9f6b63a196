"""The rest of the command line: scenes, models, health, plugins, help, tokens."""

import asyncio
import hashlib
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.cli.app import evergreen as root
from evergreen.v1.scene_pb2 import Asset, CreateSceneResponse, Folder, GetSceneResponse, ListScenesResponse, Scene
from evergreen.v1.video_pb2 import (
    GetAccountResponse,
    GetCallerResponse,
    ListModelsResponse,
    Model,
    ModelUsage,
    Price,
)
from tests.clients.command_line import CommandLine
from tests.clients.scripted import ScriptedService


async def test_a_full_disk_is_told_in_a_sentence(service: ScriptedService, evergreen: CommandLine) -> None:
    service.answers["ListModels"] = [ListModelsResponse(models=[Model(model="gen4.5")])]
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"{sys.executable} -m evergreen.cli models > /dev/full"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "EVERGREEN_ENDPOINT": service.target},
    )

    ended = await evergreen.end(process)

    assert ended.code == 1
    assert ended.stderr.splitlines() == ["Error: the output cannot be written: No space left on device"]


async def test_the_command_line_tells_whom_the_service_takes_one_for(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    limited = GetCallerResponse(
        name="studio\x1b", rights=["RIGHT_READ", "RIGHT_WRITE", 9], projects=["film", "other"], tokens_required=True
    )
    anyone = GetCallerResponse(all_projects=True, rights=["RIGHT_READ"], version="0.1.0")
    service.answers["GetCaller"] = [limited, anyone, limited]

    first, second = await evergreen("whoami"), await evergreen("whoami")
    third = await evergreen("whoami", "--output", "json")

    assert first.stdout == "name      studio\ufffd\nrights    read write\nprojects  film other\n"
    told = ["name      (the service requires no token)", "rights    read", "projects  (all)", "server    0.1.0"]
    assert second.stdout.splitlines() == told
    assert third.lines[0]["projects"] == ["film", "other"]


async def test_scenes_models_and_the_account_are_shown(service: ScriptedService, evergreen: CommandLine) -> None:
    asset = Asset(path="images/hero.png", content_type="image/png", size_bytes=2048, width=64, height=32)
    scene = Scene(project_id="p", scene_id="s", folders=[Folder(name="images", assets=[asset])])
    service.answers["CreateScene"] = [CreateSceneResponse(scene=scene)]
    service.answers["GetScene"] = [GetSceneResponse(scene=scene)]
    service.answers["ListScenes"] = [ListScenesResponse(scenes=[scene])]
    service.answers["ListModels"] = [
        ListModelsResponse(
            models=[
                Model(
                    model="gen4_turbo",
                    ratios=[f"{width}:9" for width in range(8)],
                    durations_seconds=[2, 3, 4, 8, 10],
                    prices=[Price(credits_per_second=5)],
                )
            ]
        )
    ]
    service.answers["GetAccount"] = [
        GetAccountResponse(
            credit_balance=1234.5,
            usage=[ModelUsage(model="gen4_turbo")],
            spent_credits=30,
            spent_confirmed_credits=25,
            spent_upper_bound_credits=5,
            project_cap_credits=100,
        )
    ] * 2

    created = await evergreen("scene", "create", "--project", "p", "--scene", "s", "--output", "json")
    shown = await evergreen("scene", "show", "--project", "p", "--scene", "s")
    listed = await evergreen("scene", "list", "--project", "p")
    models = await evergreen("models")
    account = await evergreen("account")
    of_project = await evergreen("account", "--project", "p")

    assert created.lines[0]["folders"][0]["assets"][0]["size_bytes"] == 2048
    assert "images/hero.png  image/png  2,048  64x32" in shown.stdout
    assert listed.stdout.splitlines()[1].startswith("s ")
    told = ["gen4_turbo", "-", "-", "0:9 1:9 2:9 3:9 4:9 5:9 (+2)", "2-4 8 10", "5 per second"]
    assert re.split(" {2,}", models.stdout.splitlines()[1]) == told
    assert service.requests["GetAccount"][-1].project_id == "p"
    told = {
        name.strip(): value.strip() for name, value in (line.split("  ", 1) for line in account.stdout.splitlines()[:5])
    }
    assert (told["balance"], told["spent here"]) == ("1,234.5 credits", "30 credits")
    assert (told["spent, confirmed"], told["spent, at most"]) == ("25 credits", "5 credits")
    assert [re.split(" {2,}", line.strip()) for line in of_project.stdout.splitlines()] == [
        ["reserved", "0 credits"],
        ["spent", "30 credits"],
        ["of that at most", "5 credits"],
        ["limit", "100 credits"],
        ["left", "70 credits"],
        ["account's balance", "1,234.5 credits"],
    ]


async def test_health_is_told_by_the_exit_code(service: ScriptedService, evergreen: CommandLine) -> None:
    serving = await evergreen("health")
    service.health = b"\x08\x02"
    not_serving = await evergreen("health", "--output", "json")
    gone = await evergreen("health", "--endpoint", "127.0.0.1:1")

    assert (serving.code, serving.stdout) == (0, "SERVING\n")
    assert (not_serving.code, not_serving.lines) == (1, [{"status": "NOT_SERVING"}])
    assert gone.code == 1
    assert "Is a server running at 127.0.0.1:1?" in gone.stderr


async def test_an_installed_package_adds_commands_and_a_missing_one_is_named(
    evergreen: CommandLine, tmp_path: Path
) -> None:
    installed = tmp_path / "guest-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[evergreen.commands]\nhello = guest:hello\nabsent = nowhere:go\n")
    (tmp_path / "guest.py").write_text(
        "import click\n\n@click.command()\ndef hello():\n    '''Greet.'''\n    click.echo('hello')\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])

    hello = await evergreen("hello", PYTHONPATH=path)
    absent = await evergreen("absent", "--listen", "x", PYTHONPATH=path)

    assert (hello.code, hello.stdout) == (0, "hello\n")
    assert absent.code == 1
    assert "absent needs the server: pip install 'evergreen-video[server]' (nowhere is missing)" in absent.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_shell_completes_the_words_of_the_command(evergreen: CommandLine, shell: str) -> None:
    script = await evergreen("completion", shell)
    completed = await evergreen(
        _EVERGREEN_COMPLETE=f"{shell}_complete",
        COMP_WORDS="evergreen video wa",
        COMP_CWORD="wa" if shell == "fish" else "2",
    )

    assert script.code == 0
    assert f"_EVERGREEN_COMPLETE={shell}_complete" in script.stdout
    assert "watch" in completed.stdout


async def test_a_token_is_shown_once_beside_the_line_that_lets_it_in(evergreen: CommandLine) -> None:
    told = await evergreen("token", "--name", "studio", "--project", "film")
    both = await evergreen("token", "--name", "ops", "--all-projects", "--right", "admin", "--output", "json")
    neither = await evergreen("token", "--name", "ops")
    two = await evergreen("token", "--name", "ops", "--all-projects", "--project", "film")

    (line,), token = told.lines, told.stderr.split()[-1]
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert line == {"name": "studio", "sha256": digest, "projects": ["film"], "rights": ["read", "write"]}
    digest = hashlib.sha256(str(both.lines[0]["token"]).encode()).hexdigest()
    assert both.lines[0]["entry"] == {"name": "ops", "sha256": digest, "projects": "*", "rights": ["admin"]}
    assert (both.stderr, neither.code, two.code) == ("", 2, 2)
    assert "give --all-projects or --project, not both" in two.stderr


def test_help_documents_the_exit_codes() -> None:
    ended = CliRunner().invoke(root, ["--help"])

    assert ended.exit_code == 0
    for code in (0, 1, 2, 3, 4, 130):
        assert f"\n    {code} " in ended.stdout
