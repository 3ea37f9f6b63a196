"""compose.yaml and the Dockerfile start the server with commands and settings that it knows."""

import asyncio
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from evergreen_server.__main__ import serve
from evergreen_server.config import Config
from tests.documented import documented
from tests.serving import Api

ROOT = Path(__file__).parents[2]


@pytest.fixture
def replica() -> dict[str, Any]:
    return YAML(typ="safe").load(ROOT / "compose.yaml")["services"]["evergreen"]


@pytest.fixture
def pod() -> dict[str, Any]:
    """The template of the Deployment's pods."""
    return manifests()["Deployment"]["spec"]["template"]


def manifests() -> dict[str, dict[str, Any]]:
    """What is given to Kubernetes, by its kind."""
    found = [YAML(typ="safe").load(path) for path in (ROOT / "deploy" / "kubernetes").glob("*.yaml")]
    return {each["kind"]: each for each in found}


def in_image() -> dict[str, str]:
    """The settings that the image itself makes."""
    return dict(re.findall(r"(EVERGREEN_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))


def test_the_replicas_start_with_the_settings_that_compose_gives_them(replica: dict[str, Any]) -> None:
    verb, *options = replica["command"]
    parsed = serve.make_context(verb, list(options)).params
    filled = {name: re.sub(r"\$\{\w+:\?\}", "secret", value) for name, value in replica["environment"].items()}

    config = Config.from_env({**in_image(), **filled}, **parsed)

    assert config.listen == "0.0.0.0:50051"
    assert config.database_url.startswith("postgresql://")
    assert int(replica["stop_grace_period"].removesuffix("s")) > 2 * config.grace_seconds


def test_every_setting_of_the_deployment_is_one_that_the_server_reads(replica: dict[str, Any]) -> None:
    known = (ROOT / "server" / "evergreen_server" / "config" / "settings.py").read_text()
    given = {*in_image(), *(name for name in replica["environment"] if name.startswith("EVERGREEN_"))}

    assert len(given) > 3
    assert [name for name in given if name not in known] == []


def test_the_pods_start_with_the_settings_that_they_are_given(pod: dict[str, Any], tmp_path: Path) -> None:
    [container] = pod["spec"]["containers"]
    verb, *options = container["args"]
    parsed = serve.make_context(verb, list(options)).params
    given = {each["name"]: each["value"] for each in container["env"]}
    secret = {
        "RUNWAYML_API_SECRET": "secret",
        "EVERGREEN_DATABASE_URL": "postgresql://evergreen:secret@postgres/evergreen",
    }
    ports = {each["name"]: str(each["containerPort"]) for each in container["ports"]}
    tokens = Path(given["EVERGREEN_TOKENS_FILE"])
    (tmp_path / "tokens").touch(0o600)
    secret["EVERGREEN_TOKENS_FILE"] = str(tmp_path / "tokens")

    config = Config.from_env({**in_image(), **given, **secret}, **parsed)

    assert (config.listen, config.metrics_listen) == (f"0.0.0.0:{ports['grpc']}", f"0.0.0.0:{ports['metrics']}")
    probes = {str(container[name]["grpc"]["port"]) for name in ("startupProbe", "readinessProbe")}
    assert probes == {ports["grpc"]}
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == ports["metrics"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > 2 * config.grace_seconds
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    assert mounts.keys() >= {str(config.data_dir), str(tokens.parent), "/tmp"}
    assert set(mounts.values()) == {each["name"] for each in pod["spec"]["volumes"]}
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    assert [str(pod["spec"]["securityContext"][name]) for name in ("runAsUser", "runAsGroup")] == list(user.groups())


def test_all_manifests_mean_the_same_pods(pod: dict[str, Any]) -> None:
    kinds, labels = manifests(), pod["metadata"]["labels"]

    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert kinds["Service"]["spec"]["selector"] == labels
    assert kinds["Service"]["spec"]["clusterIP"] == "None"
    scaled = kinds["HorizontalPodAutoscaler"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == kinds["Deployment"]["metadata"]["name"]
    assert scaled["metrics"][0]["external"]["metric"]["name"] in documented()
    assert "replicas" not in kinds["Deployment"]["spec"], "it would undo the autoscaler at each apply"


def test_the_unit_starts_the_server_with_settings_that_it_reads() -> None:
    unit = (ROOT / "deploy" / "systemd" / "evergreen.service").read_text()
    [start] = re.findall(r"^ExecStart=\S+/evergreen (.+)$", unit, re.MULTILINE)
    pairs = " ".join(re.findall(r"^Environment=(.+)$", unit, re.MULTILINE)).split()
    given = dict(pair.split("=", 1) for pair in pairs)
    verb, *options = start.split()
    numbers = dict(re.findall(r"^(TimeoutStopSec|LimitNOFILE)=(\d+)$", unit, re.MULTILINE))

    config = Config.from_env({**given, "RUNWAYML_API_SECRET": "secret"}, **serve.make_context(verb, options).params)

    assert config.data_dir == Path("/var/lib") / re.findall(r"^StateDirectory=(.+)$", unit, re.MULTILINE)[0]
    assert int(numbers["TimeoutStopSec"]) > 2 * config.grace_seconds
    assert int(numbers["LimitNOFILE"]) > 24_000, "watches are files"


def test_the_page_names_each_command_that_no_test_runs() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    tested = (ROOT / "tests" / "e2e" / "test_restore.py").read_text()
    [named] = re.findall(r"Run by no test are the commands below (.*?):", page, re.DOTALL)
    sections = [part for part in re.split(r"^(?=##)", page, flags=re.MULTILINE) if "```sh\n" in part]
    run = [part for part in sections if f'"{part.splitlines()[0]}"' in tested]
    others = [part for part in sections if part not in run]
    programs = {
        re.sub(r"^\S*/", "", line.split()[0])
        for part in others
        for block in re.findall(r"```sh\n(.*?)```", part, re.DOTALL)
        for line in re.split(r"\n|&&", re.sub(r"\\\n", " ", block))
        if line.strip()
    }

    assert len(run) == 4
    assert {part.splitlines()[0].strip("# ") for part in others} == set(re.findall(r'"(.*?)"', named))
    assert programs - {"python3.11"} == set(re.findall(r"`(.*?)`", named))


def test_the_example_of_the_environment_names_all_that_compose_asks_for_and_holds_no_secret() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?\}", (ROOT / "compose.yaml").read_text()))
    lines = re.findall(r"^(\w+)=(.*)$", (ROOT / "evergreen.env.example").read_text(), re.MULTILINE)

    assert {name for name, _ in lines} == asked
    assert [name for name, value in lines if value and not name.endswith("ACCESS_KEY")] == []


async def test_the_image_asks_for_health_by_a_command_that_tells_it(api: Api) -> None:
    [words] = re.findall(r"CMD \[\"evergreen\", (.*)\]$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    command = [sys.executable, "-m", "evergreen.cli", *re.findall(r'"([^"]+)"', words)]

    serving = await asyncio.create_subprocess_exec(*command, env={**os.environ, "EVERGREEN_ENDPOINT": api.address})
    absent = await asyncio.create_subprocess_exec(*command, env={**os.environ, "EVERGREEN_ENDPOINT": "127.0.0.1:1"})

    assert await asyncio.wait_for(serving.wait(), 60) == 0
    assert await asyncio.wait_for(absent.wait(), 60) == 1


def test_the_image_holds_what_the_tests_run_with() -> None:
    image, tests = (
        dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("server.txt", "dev.txt")
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [
        *project["dependencies"],
        *(each for name in ("cli", "server", "s3", "postgres", "otel") for each in extras[name]),
    ]
    names = {re.split(r"[^\w.-]", each)[0].lower() for each in asked} - {project["name"]}

    assert names <= image.keys()
    assert {name: tests.get(name) for name in image} == image
