"""Every setting, documented where it is declared. Only this module reads the environment."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from evergreen_server.config import parsers
from evergreen_server.config.telemetry import tracing
from evergreen_server.runtime.addresses import listen_address, proxy_url

T = TypeVar("T")

OFFICIAL_URL = "https://api.dev.runwayml.com"
VENDORS = ("AWS_", "GOOGLE_", "AZURE_", "STORAGE_EMULATOR_HOST")
WAYS_OUT = (
    "RUNWAYML_API_SECRET: is not set; set it to your Runway API key, "
    "or start with --sandbox to try everything without one"
)

C2PA_NAMES = ("EVERGREEN_C2PA_CERT", "EVERGREEN_C2PA_KEY")
TLS_NAMES = ("EVERGREEN_TLS_CERT", "EVERGREEN_TLS_KEY", "EVERGREEN_TLS_CLIENT_CA")
OF_CLIENTS = frozenset(
    {
        *("ENDPOINT", "TOKEN", "TOKEN_FILE", "TLS", "TLS_CA", "TLS_CLIENT_CERT", "TLS_CLIENT_KEY"),
        *("CONTEXT", "PROJECT", "SCENE"),
    }
)
"""What the command line reads, in whose environment a server may be started."""
OPEN_TO_ALL = (
    "{}: {} can be reached from other machines; set EVERGREEN_TOKENS_FILE, EVERGREEN_TLS_CERT and "
    "EVERGREEN_TLS_KEY, or start with --insecure to let whoever reaches it do everything, unencrypted"
)

_SECRET = re.compile(r"[!-~]*")


class ConfigError(Exception):
    """The environment is invalid; `errors` names every variable at once, never a secret's value."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The server's settings. Each field is documented by its variable, its meaning and its default."""

    listen: str
    """EVERGREEN_LISTEN: host:port of the gRPC server; port 0 picks one (also `--listen`). Default 127.0.0.1:50051."""
    tokens_file: Path | None
    """EVERGREEN_TOKENS_FILE: who may call, as `evergreen token` prints it, a line each; may be replaced while the
    server runs. Default none: whoever reaches the server may do everything."""
    tls_files: Sequence[Path]
    """EVERGREEN_TLS_CERT, EVERGREEN_TLS_KEY, EVERGREEN_TLS_CLIENT_CA: PEM files of the server's certificate chain, its
    key and, for mutual TLS, its clients' authority; may be replaced while the server runs. Default none: no TLS."""
    data_dir: Path
    """EVERGREEN_DATA_DIR: folder of everything that no other setting places elsewhere. Default ./evergreen-data."""
    storage_url: str = field(repr=False)
    """EVERGREEN_STORAGE_URL: where scenes live: file:///FOLDER, memory://, s3://BUCKET/PREFIX, gs://, az:// or any
    scheme that fsspec knows. Default the data folder."""
    storage_options: Mapping[str, Any] = field(repr=False)
    """EVERGREEN_STORAGE_OPTIONS: the storage's options by fsspec's names, as a JSON object or a file of one. Default
    none."""
    storage_environ: Mapping[str, str] = field(repr=False)
    """AWS_*, GOOGLE_*, AZURE_*: the vendors' own variables, for storages that need credentials. Default none."""
    database_url: str = field(repr=False)
    """EVERGREEN_DATABASE_URL: of jobs and events: `sqlite:////PATH` for one server, or
    `postgresql://USER:PASSWORD@HOST/NAME` (extra `postgres`) for any number of servers. Default state/evergreen.sqlite
    in the data folder."""
    api_secret: str = field(repr=False)
    """RUNWAYML_API_SECRET: the Runway API key; not needed with `--sandbox`. Default none."""
    base_url: str
    """RUNWAYML_BASE_URL: the provider's address. Default Runway's own."""
    provider_proxies: Mapping[str, str] = field(repr=False)
    """EVERGREEN_PROVIDER_PROXY: http://[USER:PASSWORD@]HOST[:PORT] of the proxy on the way to the provider: its API,
    uploads and outputs, never callers' URLs; `direct` for none. Default HTTPS_PROXY and HTTP_PROXY, but for what
    NO_PROXY names and for a provider on loopback."""
    sandbox: bool
    """--sandbox: run the local sandbox beside the server and use it as the provider."""
    provider_speed: float
    """EVERGREEN_PROVIDER_SPEED: seconds of a sandbox's time per real second, 1 to 1000; polling keeps pace. Only a
    provider on loopback may have another than 1. Default `1`, with `--sandbox` `5`."""
    picture_hosts: frozenset[str]
    """EVERGREEN_PICTURE_HOSTS: comma-separated private host or host:port names that media may be fetched from. Default
    none."""
    caption_font: Path | None
    """EVERGREEN_CAPTION_FONT: the file of a font for captions that are drawn into films. Default Pillow's own, which
    has Latin letters only."""
    renders: int
    """EVERGREEN_RENDERS: how many films this server renders at a time, 0 to 16: 0 leaves all to other servers. Each
    takes two cores and, at 720p, 360 MiB. Default 1."""
    c2pa_files: tuple[Path, Path] | None
    """EVERGREEN_C2PA_CERT, EVERGREEN_C2PA_KEY: PEM files of a certificate chain and its key, with which exports of
    films are signed (extra `provenance`). Default none: they are not signed."""
    project_credits: Mapping[str, float | None]
    """EVERGREEN_PROJECT_CREDITS: the most credits that a project may have reserved and spent in all: a number for every
    project, or a JSON object (or a file of one) by project, with `"*"` for all others and `null` for no limit. Every
    server of one database must be given the same. Default no limit."""
    max_queued: int
    """EVERGREEN_MAX_QUEUED: how many accepted jobs may wait to be submitted, over all servers of the database; more are
    refused with RESOURCE_EXHAUSTED, QUEUE_FULL. A project may have as many waiting as places are left, so one alone
    gets half of them. 1 to 10,000,000. Default 20000."""
    event_retention_days: float
    """EVERGREEN_EVENT_RETENTION_DAYS: how long events are kept for watches to resume from, 1 to 3650. Default 7."""
    job_retention_days: float
    """EVERGREEN_JOB_RETENTION_DAYS: how long jobs that have ended are kept, and at least as long as their events, and
    runs of films that are not their film's newest; 1 to 3650. Their files are not touched. Default 30."""
    audit_retention_days: float
    """EVERGREEN_AUDIT_RETENTION_DAYS: for how long it is kept who did what, 1 to 36500. Default 365."""
    request_retention_days: float | None
    """EVERGREEN_REQUEST_RETENTION_DAYS: for how long after it was accepted it is known which request made a job or a
    film's plan that is no longer kept, 1 to 36500; sent again after that it makes a new one. Default forever."""
    http_listen: str
    """EVERGREEN_HTTP_LISTEN: host:port where HTTP is served for browsers; port 0 picks one (also `--http`). Beyond
    loopback it needs what EVERGREEN_LISTEN needs, and the same files make its TLS; see [http.md](http.md). Default
    off."""
    http_hosts: frozenset[str]
    """EVERGREEN_HTTP_HOSTS: comma-separated names that HTTP requests may come by, beside IP addresses, localhost and
    *.localhost. Default none."""
    http_origins: frozenset[str]
    """EVERGREEN_HTTP_ORIGINS: comma-separated origins, such as https://studio.example, whose pages may call over HTTP
    with a token. Default none."""
    http_proxies: Sequence[str]
    """EVERGREEN_HTTP_PROXIES: comma-separated addresses or networks whose X-Forwarded-Proto, -Host and -For are
    believed. Default none."""
    http_models: Mapping[str, str]
    """EVERGREEN_HTTP_MODELS: our models by the names that callers of /v1/videos use, as a JSON object (or a file of
    one) with `*` for all others, such as `{"sora-2": "gen4.5", "*": "gen4.5"}`. Default none: names are taken as they
    are."""
    webhook_key_file: Path | None
    """EVERGREEN_WEBHOOK_KEY_FILE: from which the secrets of webhooks are derived: a line of 32 characters or more, such
    as `openssl rand -base64 48` prints, and perhaps the key before on a second one; not readable by others. Every
    server of one database must be given the same. Default none: webhooks cannot be set up."""
    webhooks: bool
    """EVERGREEN_WEBHOOKS: off sends no webhooks, and lets a server start without their key; what happens meanwhile is
    told later only as far as events are kept. Default on."""
    webhook_hosts: frozenset[str]
    """EVERGREEN_WEBHOOK_HOSTS: comma-separated private host or host:port names that webhooks may be sent to, also by
    http. Default none."""
    tracing: bool
    """OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_*: traces are sent to this OpenTelemetry collector, over HTTP (extra `otel`);
    OpenTelemetry's own variables say the rest, see [tracing.md](tracing.md). Default off."""
    metrics_listen: str
    """EVERGREEN_METRICS_LISTEN: host:port where `/metrics` is served for Prometheus; port 0 picks one. It has no
    authentication, so that beyond loopback it needs `--insecure`. Default off."""
    grace_seconds: float
    """EVERGREEN_GRACE_SECONDS: how long calls under way may take when the server stops, 0 to 600. Default 10."""
    connection_age_seconds: float
    """EVERGREEN_CONNECTION_AGE_SECONDS: after how long clients are asked to connect anew, so that new servers get their
    share; calls under way may go on for 10 minutes, and watches end in time and are resumed. 1 to 604800, or 0 for
    never. Default 1800."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    """EVERGREEN_LOG_LEVEL: the least level of what is logged: DEBUG, INFO, WARNING or ERROR. Default `INFO`."""
    log_format: Literal["auto", "json", "text"]
    """EVERGREEN_LOG_FORMAT: json (one object per line), text, or auto: text on a terminal, json elsewhere. Default
    auto."""

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str],
        *,
        sandbox: bool = False,
        listen: str | None = None,
        insecure: bool = False,
        http: str | None = None,
    ) -> Self:
        """Reads the environment; options of the command line win. Raises ConfigError naming every error.

        Unless `insecure`, only a server with TLS and tokens may listen on other addresses than loopback.
        """
        errors: list[str] = []
        known: set[str] = set()

        def read(name: str, default: str, parse: Callable[[str], T]) -> T:
            known.add(name)
            try:
                return parse(environ.get(name) or default)
            except ValueError as exc:
                errors.append(f"{name}: {exc}")
                return parse(default)

        data_dir = read("EVERGREEN_DATA_DIR", "evergreen-data", Path).absolute()
        database = f"sqlite:///{data_dir / 'state' / 'evergreen.sqlite'}"
        secret = environ.get("RUNWAYML_API_SECRET", "")
        if not sandbox and not secret:
            errors.append(WAYS_OUT)
        if not _SECRET.fullmatch(secret):
            errors.append("RUNWAYML_API_SECRET: holds a space, a line break or another character that no key has")
        base_url = read("RUNWAYML_BASE_URL", OFFICIAL_URL, parsers.base_url)
        proxies = dict.fromkeys(("https", "http"), read("EVERGREEN_PROVIDER_PROXY", "", proxy_url))
        if not environ.get("EVERGREEN_PROVIDER_PROXY") and not parsers.url_on_loopback(base_url):
            # Small letters first, as other programs have it.
            names = {scheme: f"{scheme}_proxy" for scheme in proxies}
            found = {scheme: name if environ.get(name) else name.upper() for scheme, name in names.items()}
            proxies = {scheme: read(name, "", proxy_url) for scheme, name in found.items()}
            proxies["no_proxy"] = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        speed = read("EVERGREEN_PROVIDER_SPEED", "5" if sandbox else "1", parsers.number(1, 1000))
        if speed != 1 and not sandbox and not parsers.url_on_loopback(base_url):
            errors.append("EVERGREEN_PROVIDER_SPEED: only a sandbox on loopback may have another speed than 1")
        if listen is not None:
            environ = {**environ, "EVERGREEN_LISTEN": listen}
        address = read("EVERGREEN_LISTEN", "127.0.0.1:50051", partial(listen_address, port=50051))
        tokens_file = read("EVERGREEN_TOKENS_FILE", "", parsers.file)
        tls = {name: read(name, "", parsers.file) for name in TLS_NAMES}
        if any(environ.get(name) for name in TLS_NAMES):
            errors += [f"{name}: is not set, and TLS needs it" for name in TLS_NAMES[:2] if not environ.get(name)]
        if (
            not insecure
            and not parsers.url_on_loopback(f"//{address}")
            and not (tokens_file and environ.get(TLS_NAMES[0]))
        ):
            errors.append(OPEN_TO_ALL.format("EVERGREEN_LISTEN", address))
        if http is not None:
            environ = {**environ, "EVERGREEN_HTTP_LISTEN": http}
        http_listen = read("EVERGREEN_HTTP_LISTEN", "", lambda text: listen_address(text, port=8080) if text else "")
        if (
            http_listen
            and not insecure
            and not parsers.url_on_loopback(f"//{http_listen}")
            and not (tokens_file and environ.get(TLS_NAMES[0]))
        ):
            errors.append(OPEN_TO_ALL.format("EVERGREEN_HTTP_LISTEN", http_listen))
        metrics = read("EVERGREEN_METRICS_LISTEN", "", lambda text: listen_address(text) if text else "")
        if metrics and not insecure and not parsers.url_on_loopback(f"//{metrics}"):
            errors.append(
                "EVERGREEN_METRICS_LISTEN: has no authentication, so it must be on loopback, or --insecure given"
            )
        c2pa = [read(name, "", parsers.file) for name in C2PA_NAMES]
        if any(environ.get(name) for name in C2PA_NAMES) and not all(environ.get(name) for name in C2PA_NAMES):
            errors.append(f"{' and '.join(C2PA_NAMES)}: are needed together")
        config = cls(
            listen=address,
            tokens_file=tokens_file,
            tls_files=[path for path in tls.values() if path],
            data_dir=data_dir,
            storage_url=read("EVERGREEN_STORAGE_URL", data_dir.as_uri(), parsers.storage_url),
            storage_options=read("EVERGREEN_STORAGE_OPTIONS", "{}", parsers.json_object),
            storage_environ={name: value for name, value in environ.items() if name.startswith(VENDORS)},
            database_url=read("EVERGREEN_DATABASE_URL", database, parsers.database_url),
            api_secret=secret,
            base_url=base_url,
            provider_proxies=proxies,
            sandbox=sandbox,
            provider_speed=speed,
            picture_hosts=frozenset(read("EVERGREEN_PICTURE_HOSTS", "", parsers.host_names)),
            caption_font=read("EVERGREEN_CAPTION_FONT", "", parsers.file),
            renders=read("EVERGREEN_RENDERS", "1", parsers.whole(0, 16)),
            c2pa_files=(c2pa[0], c2pa[1]) if c2pa[0] and c2pa[1] else None,
            project_credits=read("EVERGREEN_PROJECT_CREDITS", "{}", parsers.project_credits),
            max_queued=read("EVERGREEN_MAX_QUEUED", "20000", parsers.whole(1, 10_000_000)),
            event_retention_days=read("EVERGREEN_EVENT_RETENTION_DAYS", "7", parsers.number(1, 3650)),
            job_retention_days=read("EVERGREEN_JOB_RETENTION_DAYS", "30", parsers.number(1, 3650)),
            audit_retention_days=read("EVERGREEN_AUDIT_RETENTION_DAYS", "365", parsers.number(1, 36_500)),
            request_retention_days=read("EVERGREEN_REQUEST_RETENTION_DAYS", "", parsers.days),
            http_listen=http_listen,
            http_hosts=frozenset(read("EVERGREEN_HTTP_HOSTS", "", parsers.plain_hosts)),
            http_origins=frozenset(read("EVERGREEN_HTTP_ORIGINS", "", parsers.origins)),
            http_proxies=read("EVERGREEN_HTTP_PROXIES", "", parsers.networks),
            http_models=read("EVERGREEN_HTTP_MODELS", "{}", parsers.models),
            webhook_key_file=read("EVERGREEN_WEBHOOK_KEY_FILE", "", parsers.file),
            webhooks=read("EVERGREEN_WEBHOOKS", "on", parsers.on_or_off),
            webhook_hosts=frozenset(read("EVERGREEN_WEBHOOK_HOSTS", "", parsers.host_names)),
            tracing=tracing(environ, errors),
            metrics_listen=metrics,
            grace_seconds=read("EVERGREEN_GRACE_SECONDS", "10", parsers.number(0, 600)),
            connection_age_seconds=read("EVERGREEN_CONNECTION_AGE_SECONDS", "1800", parsers.number(0, 604_800)),
            log_level=read("EVERGREEN_LOG_LEVEL", "INFO", parsers.log_level),
            log_format=read("EVERGREEN_LOG_FORMAT", "auto", parsers.log_format),
        )
        errors += _misspelt(environ, known)
        if errors:
            raise ConfigError(errors)
        return config


def _misspelt(environ: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    """Yields a fault for each variable that is almost a setting. What is nothing like one is another program's."""
    for name in environ:
        if name.startswith("EVERGREEN_") and name not in known and name.removeprefix("EVERGREEN_") not in OF_CLIENTS:
            short = name.removesuffix("_FILE")
            for near in [short] if short in known else get_close_matches(name, known, n=1, cutoff=0.9):
                yield f"{name}: is no setting; did you mean {near}?"
