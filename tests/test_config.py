"""The settings: every fault at once, by the variable's name, and never a secret."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from evergreen_server.config import Config, ConfigError
from evergreen_server.providers.runway.sandbox import SANDBOX_KEY

KEY = f"key_{'5e' * 64}"


def faults_of(environ: dict[str, str], *, sandbox: bool = False, listen: str | None = None) -> dict[str, str]:
    """The faults by variable; each must stand once."""
    with pytest.raises(ConfigError) as caught:
        Config.from_env(environ, sandbox=sandbox, listen=listen)
    assert str(caught.value) == "\n".join(caught.value.errors)
    pairs = [error.split(": ", 1) for error in caught.value.errors]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def run(*arguments: str, cwd: Path, **environ: str) -> tuple[int, str, str]:
    """Runs the program in a folder of its own, with no setting but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVERGREEN_", "RUNWAYML_"))}
    done = subprocess.run(
        (sys.executable, "-m", "evergreen_server", *arguments),
        env={**kept, **environ},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_key_is_all_that_is_needed() -> None:
    config = Config.from_env({"RUNWAYML_API_SECRET": KEY})

    assert config.api_secret == KEY
    assert config.listen == "127.0.0.1:50051"
    assert config.base_url == "https://api.dev.runwayml.com"
    assert config.data_dir == Path.cwd() / "evergreen-data"
    assert config.database_url == f"sqlite:///{config.data_dir / 'state' / 'evergreen.sqlite'}"
    assert config.storage_url == config.data_dir.as_uri()
    assert (config.sandbox, config.provider_speed, config.grace_seconds) == (False, 1, 10)
    assert (config.picture_hosts, config.log_level, config.log_format) == (frozenset(), "INFO", "auto")


def test_the_sandbox_needs_no_key_and_runs_faster() -> None:
    config = Config.from_env({}, sandbox=True)

    assert (config.sandbox, config.api_secret, config.provider_speed) == (True, "", 5)


def test_without_a_key_both_ways_out_are_told() -> None:
    for environ in ({}, {"RUNWAYML_API_SECRET": ""}):
        faults = faults_of(environ)

        assert set(faults) == {"RUNWAYML_API_SECRET"}
        assert "Runway API key" in faults["RUNWAYML_API_SECRET"]
        assert "--sandbox" in faults["RUNWAYML_API_SECRET"]


def test_every_variable_is_read(tmp_path: Path) -> None:
    config = Config.from_env(
        {
            "RUNWAYML_API_SECRET": KEY,
            "RUNWAYML_BASE_URL": "http://127.0.0.1:50052/",
            "EVERGREEN_LISTEN": "[::1]:0",
            "EVERGREEN_DATA_DIR": str(tmp_path),
            "EVERGREEN_STORAGE_URL": "memory://",
            "EVERGREEN_DATABASE_URL": f"sqlite:///{tmp_path}/jobs.db",
            "EVERGREEN_PROVIDER_SPEED": "50",
            "EVERGREEN_PICTURE_HOSTS": "Pictures.internal, 10.0.0.7:8080,[fd00::1]:80,fd00::2,",
            "EVERGREEN_CAPTION_FONT": __file__,
            "EVERGREEN_RENDERS": "0",
            "EVERGREEN_C2PA_CERT": __file__,
            "EVERGREEN_C2PA_KEY": __file__,
            "EVERGREEN_HTTP_LISTEN": "[::1]",
            "EVERGREEN_HTTP_HOSTS": "Evergreen.internal., studio,",
            "EVERGREEN_HTTP_ORIGINS": "https://studio.example, http://127.0.0.1:3000",
            "EVERGREEN_HTTP_MODELS": '{"sora-2": "gen4.5"}',
            "EVERGREEN_HTTP_PROXIES": "10.0.0.0/8, ::1",
            "EVERGREEN_GRACE_SECONDS": "0.5",
            "EVERGREEN_LOG_LEVEL": "debug",
            "EVERGREEN_LOG_FORMAT": "text",
        }
    )

    assert config.base_url == "http://127.0.0.1:50052"
    assert config.listen == "[::1]:0"
    assert (config.data_dir, config.database_url) == (tmp_path, f"sqlite:///{tmp_path / 'jobs.db'}")
    assert config.storage_url == "memory://"
    assert config.provider_speed == 50
    assert config.picture_hosts == {"pictures.internal", "10.0.0.7:8080", "[fd00::1]:80", "fd00::2"}
    assert config.caption_font == Path(__file__)
    assert config.renders == 0
    assert config.c2pa_files == (Path(__file__), Path(__file__))
    assert config.http_listen == "[::1]:8080"
    assert config.http_hosts == {"evergreen.internal", "studio"}
    assert config.http_models == {"sora-2": "gen4.5"}
    assert config.http_origins == {"https://studio.example", "http://127.0.0.1:3000"}
    assert config.http_proxies == ["10.0.0.0/8", "::1"]
    assert config.grace_seconds == 0.5
    assert (config.log_level, config.log_format) == ("DEBUG", "text")


def test_an_option_of_the_command_line_wins_and_is_judged_alike() -> None:
    environ = {"RUNWAYML_API_SECRET": KEY, "EVERGREEN_LISTEN": "nonsense"}

    assert Config.from_env(environ, listen="127.0.0.1:7").listen == "127.0.0.1:7"
    assert set(faults_of({"RUNWAYML_API_SECRET": KEY}, listen="7")) == {"EVERGREEN_LISTEN"}


def test_every_fault_is_named_at_once_and_no_secret_is_repeated() -> None:
    wrong = {
        "RUNWAYML_API_SECRET": "key_sesame\n",
        "RUNWAYML_BASE_URL": "http://sesame:sesame@example.com",
        "EVERGREEN_LISTEN": "50051",
        "EVERGREEN_STORAGE_URL": "//sesame:sesame@example.com/scenes",
        "EVERGREEN_STORAGE_OPTIONS": '{"secret": "sesame"',
        "EVERGREEN_DATABASE_URL": "mysql://sesame:sesame@example.com/jobs",
        "EVERGREEN_PROVIDER_SPEED": "nan",
        "EVERGREEN_PICTURE_HOSTS": "http://pictures.internal/",
        "EVERGREEN_CAPTION_FONT": "/no/such/font.ttf",
        "EVERGREEN_RENDERS": "17",
        "EVERGREEN_C2PA_CERT": "/no/such/chain.pem",
        "EVERGREEN_C2PA_KEY": "/no/such/key.pem",
        "EVERGREEN_GRACE_SECONDS": "soon",
        "EVERGREEN_LOG_LEVEL": "LOUD",
        "EVERGREEN_LOG_FORMAT": "xml",
    }

    faults = faults_of(wrong)

    assert set(faults) == set(wrong)
    assert "sesame" not in str(faults)
    assert "https" in faults["RUNWAYML_BASE_URL"]
    assert "HOST:PORT" in faults["EVERGREEN_LISTEN"]
    assert "file:///FOLDER" in faults["EVERGREEN_STORAGE_URL"]
    assert "sqlite:////PATH" in faults["EVERGREEN_DATABASE_URL"]
    assert "1 to 1000" in faults["EVERGREEN_PROVIDER_SPEED"]
    assert "a number" in faults["EVERGREEN_GRACE_SECONDS"]
    assert "DEBUG, INFO" in faults["EVERGREEN_LOG_LEVEL"]
    assert "auto, json or text" in faults["EVERGREEN_LOG_FORMAT"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("EVERGREEN_LISTEN", [":50051", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:-1"]),
        ("EVERGREEN_GRACE_SECONDS", ["-1", "601", "inf", "nan"]),
        ("EVERGREEN_MAX_QUEUED", ["0", "-1", "1.5", "many", "10000001"]),
        ("EVERGREEN_PROVIDER_SPEED", ["0", "0.5", "1001", "2"]),
        (
            "RUNWAYML_BASE_URL",
            ["ftp://127.0.0.1", "example.com", "http://10.0.0.1", "http://127.0.0.1:99999", "http://[::1"],
        ),
        ("EVERGREEN_STORAGE_URL", ["/scenes", "scenes", "s3:bucket"]),
        ("EVERGREEN_STORAGE_OPTIONS", ["[]", "{", "/no/such/file", "7"]),
        ("EVERGREEN_HTTP_LISTEN", ["8080", "127.0.0.1:", "127.0.0.1:65536", "0.0.0.0:8080", "evergreen.internal:80"]),
        ("EVERGREEN_HTTP_HOSTS", ["a:80", "*.example", "http://a", "a b", "[::1]"]),
        (
            "EVERGREEN_HTTP_ORIGINS",
            ["*", "null", "studio.example", "https://studio.example/", "https://a@b", "https://*.example", "HTTPS://a"],
        ),
        ("EVERGREEN_HTTP_MODELS", ["[]", "{", "sora-2", '{"sora-2": 1}', '{"sora-2": ""}', '{"": "gen4.5"}']),
        ("EVERGREEN_HTTP_PROXIES", ["proxy", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1:80", "*"]),
        ("EVERGREEN_PICTURE_HOSTS", ["a b", "host:port", "user@host", "a,host/path"]),
    ],
)
def test_a_value_out_of_its_bounds_is_named_by_its_variable(name: str, values: list[str]) -> None:
    for value in values:
        assert set(faults_of({"RUNWAYML_API_SECRET": KEY, name: value})) == {name}, value


def test_http_beyond_loopback_needs_what_grpc_needs(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    beyond = {"RUNWAYML_API_SECRET": KEY, "EVERGREEN_HTTP_LISTEN": "0.0.0.0:8080"}
    tls = {"EVERGREEN_TLS_CERT": str(file), "EVERGREEN_TLS_KEY": str(file)}

    assert set(faults_of(beyond)) == {"EVERGREEN_HTTP_LISTEN"}
    assert set(faults_of({**beyond, **tls})) == {"EVERGREEN_HTTP_LISTEN"}
    assert set(faults_of({**beyond, "EVERGREEN_TOKENS_FILE": str(file)})) == {"EVERGREEN_HTTP_LISTEN"}
    Config.from_env({**beyond, **tls, "EVERGREEN_TOKENS_FILE": str(file)})
    Config.from_env(beyond, insecure=True)
    assert Config.from_env({"RUNWAYML_API_SECRET": KEY}).http_listen == ""
    assert Config.from_env(beyond, http="localhost").http_listen == "localhost:8080"


def test_another_speed_than_real_time_is_for_a_provider_on_loopback_only() -> None:
    speed = {"RUNWAYML_API_SECRET": KEY, "EVERGREEN_PROVIDER_SPEED": "10"}

    assert set(faults_of({**speed, "RUNWAYML_BASE_URL": "https://example.com"})) == {"EVERGREEN_PROVIDER_SPEED"}
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert Config.from_env({**speed, "RUNWAYML_BASE_URL": f"http://{host}:1"}).provider_speed == 10


def test_the_provider_is_reached_by_the_proxy_of_the_environment_or_of_our_own_setting() -> None:
    environ = {"RUNWAYML_API_SECRET": KEY, "HTTPS_PROXY": "http://a:1", "https_proxy": "b:2", "NO_PROXY": "x.org"}

    def proxies(**changes: str) -> Mapping[str, str]:
        return Config.from_env({**environ, **changes}).provider_proxies

    assert proxies() == {"https": "http://b:2", "http": "", "no_proxy": "x.org"}
    assert proxies(https_proxy="") == {"https": "http://a:1", "http": "", "no_proxy": "x.org"}
    assert proxies(EVERGREEN_PROVIDER_PROXY="http://c:3") == {"https": "http://c:3", "http": "http://c:3"}
    assert proxies(EVERGREEN_PROVIDER_PROXY="direct") == {"https": "", "http": ""}
    assert proxies(RUNWAYML_BASE_URL="http://127.0.0.1:1") == {"https": "", "http": ""}
    assert "secret" not in repr(Config.from_env({**environ, "EVERGREEN_PROVIDER_PROXY": "http://u:secret@c:3"}))


@pytest.mark.parametrize("name", ["EVERGREEN_PROVIDER_PROXY", "HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    "url",
    [
        "socks5://a:secret@b",
        "https://a:secret@b:1",
        "http://a:secret@",
        "http://a:secret@b:99999",
        "http://a:secret@b:0",
        "http://a:secret@b/path",
        "http://a:secret@b?q",
        "http://a%3Ab:secret@c",
        "http://a:secret\u20ac@b",
        "http://[::secret",
    ],
)
def test_a_proxy_that_cannot_be_spoken_to_is_named_without_its_password(name: str, url: str) -> None:
    faults = faults_of({"RUNWAYML_API_SECRET": KEY, name: url})

    assert set(faults) == {name}
    assert "secret" not in faults[name]


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("EVERGREEN_DATABASE_URL", "sqlite:///srv/jobs.sqlite", "must be absolute, with four slashes: sqlite:////PATH"),
        ("EVERGREEN_DATABASE_URL", "sqlite:///", "must be absolute"),
        ("EVERGREEN_DATABASE_URL", "sqlite:////", "must be absolute"),
        ("EVERGREEN_STORAGE_OPTIONS", "[1]", "must be a JSON object, or the path of a file"),
        ("EVERGREEN_STORAGE_OPTIONS", "zz", "must be a JSON object, or the path of a file"),
        ("EVERGREEN_PROJECT_CREDITS", "many", "must be a JSON object, or the path of a file"),
        ("EVERGREEN_PROJECT_CREDITS", '{"my film": 5}', "'my film': the project id must be 1 to 63"),
        ("EVERGREEN_PROJECT_CREDITS", '{"CON": 5}', "device name"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_said_in_words(name: str, value: str, fault: str) -> None:
    faults = faults_of({"RUNWAYML_API_SECRET": KEY, name: value})

    assert set(faults) == {name}
    assert fault in faults[name]


def test_the_form_of_the_log_is_taken_in_any_case() -> None:
    assert Config.from_env({"RUNWAYML_API_SECRET": KEY, "EVERGREEN_LOG_FORMAT": "TEXT"}).log_format == "text"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EVERGREEN_STOARGE_URL", "EVERGREEN_STORAGE_URL"),
        ("EVERGREEN_TOKENS_FILES", "EVERGREEN_TOKENS_FILE"),
        ("EVERGREEN_PROJECTS_CREDITS", "EVERGREEN_PROJECT_CREDITS"),
        ("EVERGREEN_HTTP_ORIGIN", "EVERGREEN_HTTP_ORIGINS"),
        ("EVERGREEN_LOGLEVEL", "EVERGREEN_LOG_LEVEL"),
        ("EVERGREEN_TLS_CERT_FILE", "EVERGREEN_TLS_CERT"),
    ],
)
def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(name: str, meant: str) -> None:
    faults = faults_of({"RUNWAYML_API_SECRET": KEY, name: "secret"})

    assert set(faults) == {name}
    assert f"did you mean {meant}?" in faults[name]
    assert "secret" not in faults[name]


@pytest.mark.parametrize(
    "name",
    [
        *("EVERGREEN_ENDPOINT", "EVERGREEN_TOKEN", "EVERGREEN_TOKEN_FILE", "EVERGREEN_TLS", "EVERGREEN_TLS_CA"),
        *("EVERGREEN_TLS_CLIENT_CERT", "EVERGREEN_TLS_CLIENT_KEY"),
        # Of a cluster, for a service of this name.
        *("EVERGREEN_PORT", "EVERGREEN_SERVICE_HOST", "EVERGREEN_PORT_50051_TCP_ADDR"),
    ],
)
def test_what_others_read_is_no_misspelt_setting(name: str) -> None:
    Config.from_env({"RUNWAYML_API_SECRET": KEY, name: "x"})


def test_the_secret_is_not_in_the_text_of_the_settings() -> None:
    assert KEY not in repr(Config.from_env({"RUNWAYML_API_SECRET": KEY}))


def test_serve_without_a_key_ends_with_2_and_tells_both_ways_out(tmp_path: Path) -> None:
    code, out, err = run("serve", cwd=tmp_path)

    assert (code, out) == (2, "")
    assert "RUNWAYML_API_SECRET" in err
    assert "--sandbox" in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--listen", "0.0.0.0:0"), "--insecure"), (("--listen", "[::]:0"), "--insecure"), (("--speed", "0"), "--speed")],
)
def test_a_sandbox_serves_this_machine_alone_and_its_time_passes(
    tmp_path: Path, options: tuple[str, str], word: str
) -> None:
    code, out, err = run("sandbox", *options, cwd=tmp_path)

    assert (code, out) == (2, "")
    assert word in err


def test_serve_names_every_fault_on_a_line_of_its_own_and_no_secret(tmp_path: Path) -> None:
    code, out, err = run(
        *("serve", "--listen", "nowhere"),
        cwd=tmp_path,
        RUNWAYML_API_SECRET=SANDBOX_KEY,
        EVERGREEN_LOG_LEVEL="LOUD",
        EVERGREEN_GRACE_SECONDS="-1",
    )

    assert (code, out) == (2, "")
    assert {line.partition(":")[0] for line in err.splitlines()} == {
        "EVERGREEN_LISTEN",
        "EVERGREEN_LOG_LEVEL",
        "EVERGREEN_GRACE_SECONDS",
    }
    assert SANDBOX_KEY not in err
    assert list(tmp_path.iterdir()) == []


def test_the_credits_of_projects_are_one_number_or_one_for_each() -> None:
    environ = {"RUNWAYML_API_SECRET": KEY}

    def credits(text: str) -> object:
        return Config.from_env({**environ, "EVERGREEN_PROJECT_CREDITS": text}).project_credits

    assert credits("250.5") == {"*": 250.5}
    assert credits('{"film": 10, "*": 5, "free": null}') == {"film": 10, "*": 5, "free": None}
    for wrong in ("-1", "nan", '{"film": true}', '{"film": "10"}', "[1]"):
        assert set(faults_of({**environ, "EVERGREEN_PROJECT_CREDITS": wrong})) == {"EVERGREEN_PROJECT_CREDITS"}


def test_only_loopback_is_served_without_tokens_and_tls_unless_told(tmp_path: Path) -> None:
    for name in ("tokens", "cert", "key"):
        (tmp_path / name).write_text("x")
    safe = {
        "EVERGREEN_TOKENS_FILE": str(tmp_path / "tokens"),
        "EVERGREEN_TLS_CERT": str(tmp_path / "cert"),
        "EVERGREEN_TLS_KEY": str(tmp_path / "key"),
    }
    for listen in ("0.0.0.0:50051", "[::]:50051", "10.0.0.7:50051", "evergreen.internal:50051"):
        for missing in ([], ["EVERGREEN_TOKENS_FILE"], ["EVERGREEN_TLS_CERT", "EVERGREEN_TLS_KEY"]):
            environ = {name: value for name, value in safe.items() if missing and name not in missing}
            with pytest.raises(ConfigError, match=f"EVERGREEN_LISTEN: {re.escape(listen)} can be reached") as caught:
                Config.from_env(environ, sandbox=True, listen=listen)
            assert len(caught.value.errors) == 1
        assert Config.from_env(safe, sandbox=True, listen=listen).listen == listen
        assert Config.from_env({}, sandbox=True, listen=listen, insecure=True).listen == listen
    for listen in ("127.0.0.1:0", "[::1]:0", "localhost:0"):
        assert Config.from_env({}, sandbox=True, listen=listen).tokens_file is None


def test_half_of_the_certificate_files_and_unreadable_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("x")
    environ = {"EVERGREEN_TLS_CLIENT_CA": str(tmp_path / "ca"), "EVERGREEN_TOKENS_FILE": str(tmp_path / "none")}

    with pytest.raises(ConfigError) as caught:
        Config.from_env(environ, sandbox=True)

    assert caught.value.errors == [
        "EVERGREEN_TOKENS_FILE: the file cannot be read: No such file or directory",
        "EVERGREEN_TLS_CERT: is not set, and TLS needs it",
        "EVERGREEN_TLS_KEY: is not set, and TLS needs it",
    ]


def test_metrics_beyond_loopback_need_a_word_for_it() -> None:
    environ = {"RUNWAYML_API_SECRET": KEY}

    assert Config.from_env(environ).metrics_listen == ""
    assert Config.from_env({**environ, "EVERGREEN_METRICS_LISTEN": "[::1]:9100"}).metrics_listen == "[::1]:9100"
    open_to_all = {**environ, "EVERGREEN_METRICS_LISTEN": "0.0.0.0:9100"}
    assert set(faults_of(open_to_all)) == {"EVERGREEN_METRICS_LISTEN"}
    assert Config.from_env(open_to_all, insecure=True).metrics_listen == "0.0.0.0:9100"
