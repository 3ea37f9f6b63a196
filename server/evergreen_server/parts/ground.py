"""The ground that the service stands on: who may call, the database, the storage, the provider, the web."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import grpc
from aiohttp.abc import AbstractResolver

from evergreen_server.config import Config
from evergreen_server.gateway.tls import Tls
from evergreen_server.jobs.announcer import Announcer
from evergreen_server.jobs.cluster.membership import Membership, membership_of
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.media.guard import ThreadResolver, guarded_connector
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.metrics.meters import Meters
from evergreen_server.metrics.provider import MeteredProvider
from evergreen_server.metrics.storage import MeteredStorage
from evergreen_server.ports.provider import Provider
from evergreen_server.providers.runway.catalog.models import RunwayModels
from evergreen_server.providers.runway.http.client import RunwayClient, Timeouts
from evergreen_server.providers.runway.http.proxies import Proxies
from evergreen_server.providers.runway.http.retry import RetryPolicy
from evergreen_server.providers.runway.sandbox import SANDBOX_KEY, Sandbox
from evergreen_server.rpc.access.policy import Access
from evergreen_server.rpc.access.tls import Certificates, read_certificates
from evergreen_server.rpc.access.tokens import read_tokens
from evergreen_server.runtime.background import Work
from evergreen_server.runtime.reload import ReloadableFile
from evergreen_server.runtime.temp import temp_folder
from evergreen_server.runtime.turns import Turns
from evergreen_storage import SceneStore, open_storage

BODIES_AT_ONCE = 16
"""Files on their way into a bucket: what callers upload, and what jobs keep. Each holds up to 20 MiB."""

THUMBNAIL_LIMITS = MediaLimits(decoders_at_once=2, work_seconds=10.0, wait_seconds=10.0)
"""Somebody looks at a page and waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Who may call; the files that say so are read again when they change."""

    access: Access
    certificates: Certificates | None
    http_tls: Tls | None
    tasks: Sequence[tuple[str, Work]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What lies outside of the process: the database and its other servers, the storage, the provider, the web."""

    config: Config
    now: Callable[[], datetime]
    database: Database
    announcer: Announcer
    resolver: AbstractResolver | None
    """Looks up the hosts of callers' URLs; None: the system does."""
    membership: Membership
    temp_dir: Path
    scenes: SceneStore
    provider: Provider
    provider_url: str
    create_seconds: float
    media: Media
    models: RunwayModels


def open_gate(config: Config) -> Gate:
    access, certificates, http_tls, tasks = Access(None), None, None, list[tuple[str, Work]]()
    if config.tokens_file:
        tokens = ReloadableFile([config.tokens_file], read_tokens, secret=[config.tokens_file])
        access = Access(tokens.read())
        tasks.append(("tokens", partial(tokens.watch, access.replace)))
    if config.tls_files:
        pems = ReloadableFile(
            config.tls_files, partial(read_certificates, config.tls_files), secret=config.tls_files[1:2]
        )
        certificates = Certificates(pems.read(), client_ca=len(config.tls_files) > 2)
        http_tls = Tls(config.tls_files)
        tasks.append(("certificates", partial(pems.watch, _replacing(certificates, http_tls))))
    return Gate(access=access, certificates=certificates, http_tls=http_tls, tasks=tasks)


def _replacing(certificates: Certificates, http_tls: Tls) -> Callable[[grpc.ServerCertificateConfiguration], None]:
    def replace(newer: grpc.ServerCertificateConfiguration) -> None:
        certificates.replace(newer)
        http_tls.replace()

    return replace


async def open_ground(
    stack: AsyncExitStack,
    config: Config,
    resolver: AbstractResolver | None,
    now: Callable[[], datetime],
    meters: Meters,
) -> Ground:
    announcer = Announcer()
    database = await stack.enter_async_context(open_database(config.database_url, measured=meters.database.measured))
    meters.database.opened(database.engine.pool)
    membership = membership_of(database, announcer)
    temp_dir = stack.enter_context(temp_folder(config.data_dir / "state" / "temp"))
    storage = await stack.enter_async_context(
        open_storage(
            config.storage_url,
            clock=now,
            environ=config.storage_environ,
            lock=membership.storage_lock,
            temp_dir=temp_dir,
            upload_turn=Turns(BODIES_AT_ONCE).of,
            **config.storage_options,
        )
    )
    create_seconds = max(10.0, Timeouts().create / config.provider_speed)
    base_url, provider = await _provider(stack, config, resolver, now, create_seconds)
    media = await stack.enter_async_context(
        Media(private_hosts=config.picture_hosts, limits=MediaLimits(), temp_dir=temp_dir, resolver=resolver)
    )
    return Ground(
        config=config,
        now=now,
        database=database,
        announcer=announcer,
        resolver=resolver,
        membership=membership,
        temp_dir=temp_dir,
        scenes=SceneStore(MeteredStorage(storage, meters.storage), clock=now),
        provider=MeteredProvider(provider, meters.provider),
        provider_url=base_url,
        create_seconds=create_seconds,
        media=media,
        models=RunwayModels(),
    )


async def _provider(
    stack: AsyncExitStack,
    config: Config,
    resolver: AbstractResolver | None,
    now: Callable[[], datetime],
    create_seconds: float,
) -> tuple[str, RunwayClient]:
    """Opens the provider's client, and before it the sandbox where that is the provider."""
    base_url, secret = config.base_url, config.api_secret
    if config.sandbox:
        names = ThreadPoolExecutor(2, thread_name_prefix="sandbox-names")
        stack.callback(names.shutdown, wait=False, cancel_futures=True)
        # It fetches what callers name, as the provider does, but from inside.
        connector = partial(guarded_connector, resolver or ThreadResolver(names))
        state_dir = config.data_dir / "state" / "sandbox"
        sandbox = await stack.enter_async_context(
            Sandbox(speed=config.provider_speed, state_dir=state_dir, connector=connector)
        )
        base_url, secret = sandbox.url, SANDBOX_KEY
    provider = await stack.enter_async_context(
        RunwayClient(
            base_url=base_url,
            api_key=secret,
            timeouts=Timeouts(create=create_seconds),
            retries=RetryPolicy(),
            proxies=Proxies() if config.sandbox else Proxies(**config.provider_proxies),
            random=random.random,
            now=now,
            monotonic=time.monotonic,
        )
    )
    return base_url, provider
