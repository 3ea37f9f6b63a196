"""Named services, in a file of the user's."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evergreen.cli.app import evergreen as root
from evergreen.cli.session import Session
from evergreen.cli.session import session as session_of


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("EVERGREEN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "evergreen" / "contexts.json"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("evg_of_prod\n")
    return file


def run(*words: str) -> Result:
    return CliRunner().invoke(root, list(words))


def chosen(*words: str) -> Session:
    """The session that a command has with these global options."""
    with root.make_context("evergreen", [*words, "health"]) as context:
        return session_of(context)


def test_a_context_is_kept_for_its_owner_alone_and_holds_no_secret(config: Path, secret: Path) -> None:
    added = run("context", "add", "prod", "--endpoint", "example.com:443", "--tls", "--token-file", str(secret))
    listed = run("--output", "json", "context", "list")

    assert (added.exit_code, listed.exit_code) == (0, 0), added.output
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert "evg_of_prod" not in config.read_text()
    assert json.loads(listed.stdout) == {
        "name": "prod",
        "current": True,
        "endpoint": "example.com:443",
        "tls": True,
        "token_file": str(secret),
    }
    assert replace(chosen("--context", "prod"), given=()) == chosen()
    assert (chosen().endpoint, chosen().tls, chosen().token) == ("example.com:443", True, "evg_of_prod")


def test_a_token_goes_to_the_service_that_it_was_given_for(
    config: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("context", "add", "prod", "--endpoint", "example.com:443", "--tls", "--token-file", str(secret))

    elsewhere = chosen("--endpoint", "127.0.0.1:9")
    monkeypatch.setenv("EVERGREEN_TOKEN", "evg_of_another")
    by_environment, named = chosen(), chosen("--context", "prod")

    assert (elsewhere.endpoint, elsewhere.token) == ("127.0.0.1:9", None)
    assert (by_environment.endpoint, by_environment.token) == ("127.0.0.1:50051", "evg_of_another")
    assert (named.endpoint, named.token) == ("example.com:443", "evg_of_prod")


def test_a_context_names_project_and_scene_of_commands_that_name_none(config: Path) -> None:
    run("context", "add", "local", "--endpoint", "127.0.0.1:9", "--project", "film", "--scene", "s1")
    video = root.get_command(root.make_context("evergreen", ["health"]), "video")
    parent = root.make_context("evergreen", ["video"])

    own = video.commands["generate"].make_context("generate", [], parent=parent)
    other = video.commands["generate"].make_context("generate", ["--project", "b"], parent=parent)

    assert (own.params["project"], own.params["scene"]) == ("film", "s1")
    assert (other.params["project"], other.params["scene"]) == ("b", "s1")


def test_contexts_are_used_replaced_and_removed(config: Path) -> None:
    run("context", "add", "a", "--endpoint", "127.0.0.1:1")
    run("context", "add", "b", "--endpoint", "127.0.0.1:2")

    again = run("context", "add", "b", "--endpoint", "127.0.0.1:3")
    replaced = run("context", "add", "b", "--endpoint", "127.0.0.1:3", "--replace")
    used = run("context", "use", "b")
    listed = run("context", "list")
    second = chosen().endpoint
    removed = run("context", "remove", "b")

    assert [each.exit_code for each in (again, replaced, used, removed)] == [2, 0, 0, 0]
    assert [line.split()[:3] for line in listed.stdout.splitlines()[1:]] == [
        ["a", "127.0.0.1:1", "-"],
        ["*", "b", "127.0.0.1:3"],
    ]
    assert (second, chosen().endpoint) == ("127.0.0.1:3", "127.0.0.1:50051")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--context", "nope", "health"), "there is no context 'nope'; there are: none"),
        (("context", "add", "x", "--endpoint", "http://a"), "must be HOST:PORT"),
        (("--endpoint", "", "health"), "it is empty; it must be HOST:PORT"),
        (("context", "add", "x", "--endpoint", "a:1", "--token-file", "/nowhere"), "/nowhere is no file"),
        (("context", "use"), "name a context, or give --none"),
        (("context", "remove", "x"), "there is no context 'x'"),
    ],
)
def test_what_is_no_context_is_told_in_a_sentence(config: Path, words: tuple[str, ...], said: str) -> None:
    ended = run(*words)

    assert (ended.exit_code, ended.exception.__class__) == (2, SystemExit)
    assert said in " ".join(ended.output.split())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"contexts": {"a": {"endpoint": 1}}, "current": ""}', '{"contexts": 1}']
)
def test_a_broken_file_is_told_in_a_sentence(config: Path, text: str) -> None:
    config.parent.mkdir()
    config.write_text(text)

    ended = run("context", "list")

    assert ended.exit_code == 2
    assert str(config) in ended.output


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(config: Path) -> None:
    config.parent.write_text("a file where the folder should be")

    ended = run("context", "add", "a", "--endpoint", "127.0.0.1:1")

    assert ended.exit_code in (1, 2)
    assert "Traceback" not in ended.output
    assert "contexts.json" in ended.output
