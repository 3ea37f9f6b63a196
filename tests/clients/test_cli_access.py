"""The command against a real server that wants to know who calls, over mutual TLS."""

from pathlib import Path

from tests.clients.command_line import CommandLine
from tests.rpc.identities import Tokens, certificate
from tests.serving import Control, serving


async def test_the_command_tells_who_it_is_by_options_or_by_the_environment(tmp_path: Path, sandbox: Control) -> None:
    ours, clients = certificate("ours"), certificate("clients")
    server, client = certificate("server", ours), certificate("client", clients)
    files = {name: tmp_path / name for name in ("ca", "cert", "key", "client-ca", "client-cert", "client-key", "token")}
    tokens = Tokens(tmp_path / "tokens")
    token = tokens.give("film", rights="read")
    for name, data in {
        "ca": ours.pem,
        "cert": server.pem,
        "key": server.key,
        "client-ca": clients.pem,
        "client-cert": client.pem,
        "client-key": client.key,
        "token": f"{token}\n".encode(),
    }.items():
        files[name].write_bytes(data)
    settings = {
        "EVERGREEN_TOKENS_FILE": tokens.path,
        "EVERGREEN_TLS_CERT": files["cert"],
        "EVERGREEN_TLS_KEY": files["key"],
        "EVERGREEN_TLS_CLIENT_CA": files["client-ca"],
    }
    trusted = {
        "EVERGREEN_TLS_CA": str(files["ca"]),
        "EVERGREEN_TLS_CLIENT_CERT": str(files["client-cert"]),
        "EVERGREEN_TLS_CLIENT_KEY": str(files["client-key"]),
    }
    options = [f"--tls-{name}={files[name]}" for name in ("ca", "client-cert", "client-key")]
    everything = {name: str(path) for name, path in settings.items()}
    async with serving(tmp_path / "data", sandbox.url, **everything) as api:
        evergreen = CommandLine(api.address)

        by_environment = await evergreen("models", **trusted, EVERGREEN_TOKEN=token)
        by_options = await evergreen(
            *options, "models", "--token-file", str(files["token"]), EVERGREEN_TOKEN="evg_another"
        )
        unknown = await evergreen("models", "--token", "evg_unknown", **trusted)
        nobody = await evergreen("models", **trusted)
        may_not = await evergreen("account", **trusted, EVERGREEN_TOKEN=token)
        other = await evergreen("video", "list", "--project", "other", **trusted, EVERGREEN_TOKEN=token)
        health = await evergreen("health", **trusted)
        plain = await evergreen("health", "--timeout", "2")

    assert by_environment.stdout.startswith("MODEL"), by_environment.stderr
    assert by_options.stdout == by_environment.stdout
    assert (unknown.code, nobody.code, may_not.code, other.code) == (1, 1, 1, 1)
    assert "the token is not known here" in unknown.stderr
    assert "EVERGREEN_TOKEN, or --token-file" in nobody.stderr
    assert "lacks the right 'admin'" in may_not.stderr
    assert "evergreen project list" in may_not.stderr
    assert "not for the project 'other'" in other.stderr
    assert (health.code, health.stdout, plain.code) == (0, "SERVING\n", 1)


async def test_what_cannot_be_used_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    evergreen = CommandLine("192.0.2.1:50051")

    absent = await evergreen("models", "--token-file", str(tmp_path / "none"))
    (tmp_path / "cert").write_bytes(certificate("client").pem)
    half = await evergreen("models", "--tls-client-cert", str(tmp_path / "cert"))
    no_pem = await evergreen("models", "--tls-ca", str(Path(__file__)))
    in_the_clear = await evergreen("models", EVERGREEN_TOKEN="evg_secret")

    assert (absent.code, half.code, no_pem.code, in_the_clear.code) == (2, 2, 2, 2)
    assert "No such file or directory" in absent.stderr
    assert "private key" in half.stderr
    assert "holds no certificate in PEM" in no_pem.stderr
    assert "without TLS" in in_the_clear.stderr
    assert "--tls-ca FILE" in in_the_clear.stderr
    assert "evg_secret" not in in_the_clear.stderr
