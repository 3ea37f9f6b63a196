"""The one door for new jobs: checks a request, quotes it, and accepts it as a job.

Every edge calls it with values, whatever its wire. What it refuses is raised as one of these, and nothing is recorded:

    InvalidRequest           fields break the contract or the model's rules; every one of them is named
      AssetsMissing          the scenes do not have the files that it names
    PriceUnknown             there is a limit on credits, and the price of the model is not known
    CreditsExceeded          an attempt may cost more than the request's own limit
    ProjectCreditsExceeded   an attempt may take the project beyond its cap
    RequestReused            the request_id belongs to another request
    JobDeleted               the request's job is no longer kept
    SceneBusy                the scene, or a file that is named, is being deleted or replaced
    QueueFull                too many jobs wait, of the project or in all
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from evergreen_server.jobs.assets import AssetCheck, HeadCheck
from evergreen_server.jobs.model.errors import JobError
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.names import FILM_REQUESTS
from evergreen_server.jobs.model.states import OnUnknownSubmission
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.ledger import PriceUnknown
from evergreen_server.ports.audit import Action, Origin, note_of
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.media import HEAD_BYTES
from evergreen_server.ports.specs import FieldError, GenerationSpec, InvalidRequest, Kind, Media, Operation, kind_of
from evergreen_storage import id_error, path_error

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MAX_INLINE_BYTES = 3 * 1024 * 1024
MAX_ATTEMPTS = 10
MAX_PRIORITY = 100
MAX_CREDITS = 1_000_000_000
MAX_LABELS = 32
START_WITHIN = timedelta(hours=24)
"""Until then a job waits to be started, where its request does not say."""


class CreditsExceeded(JobError):
    """An attempt may cost more than the request allows. `estimate` is in millicredits."""

    def __init__(self, estimate: int) -> None:
        super().__init__(f"an attempt may cost {estimate / 1000:g} credits, more than max_credits")
        self.estimate = estimate


class MediaCheck(HeadCheck, Protocol):
    """The part of the media tools that checks a URL's text, and files by their first bytes."""

    def uri_error(self, uri: str) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What a caller asks for, in values that nobody has checked.

    `digest` tells the request from any other under its request_id; the caller's edge makes it, always in the same way.
    `inline` holds by SHA-256 (hex) the bytes of the spec's media that have such a digest.
    A FieldError stands in place of a value that an edge could not read; for media, see `unread_media`. `unread` is
    what leaves open what is to be made.
    """

    project_id: str
    scene_id: str
    request_id: str
    digest: str
    spec: GenerationSpec
    inline: Mapping[str, bytes] = field(default_factory=dict)
    unread: Sequence[FieldError] = ()
    unread_media: Mapping[int, FieldError] = field(default_factory=dict)
    """By its place in the caller's list, each piece of media that could not be read; the spec has the others."""
    priority: int = 0
    max_attempts: int = 1
    on_unknown_submission: OnUnknownSubmission | FieldError = OnUnknownSubmission.ASK
    max_credits: float | None = None
    """The most that one attempt may cost."""
    start_by: datetime | FieldError | None = None
    finish_by: datetime | FieldError | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""
    """The span that the caller's call is part of; no part of what is asked for, and so of the digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The job of a request; `known` where an earlier call of the same request made it."""

    job: Job
    known: bool


class Intake:
    """Checks requests against the contract, the catalogue and the caps, and accepts them."""

    def __init__(
        self,
        *,
        store: JobStore,
        models: ModelTable,
        media: MediaCheck,
        assets: AssetCheck,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._models = models
        self._media = media
        self._assets = assets
        self._clock = clock
        self._new_id = new_id

    async def accept(self, request: GenerationRequest, origin: Origin | None = None) -> Accepted:
        """Records the request's job, and whence it comes, or finds the one that an earlier call of the same request
        made.

        Raises what the module names.
        """
        try:
            accepted, estimate = self.judge(request)
        except (InvalidRequest, PriceUnknown, CreditsExceeded):
            # An accepted request stays accepted, whatever the rules are by now.
            known = await self._known(request)
            if known is None:
                raise
            return Accepted(job=known, known=True)
        if _names_files(accepted.spec):
            # First, since an accepted request stays accepted, whatever became of its files.
            if (known := await self._known(request)) is not None:
                return Accepted(job=known, known=True)
            await self._assets.check(request.project_id, request.scene_id, accepted.spec.media)
        job_id = self._new_id()
        job = await self._store.accept(
            accepted,
            job_id=job_id,
            estimated_millicredits=estimate,
            inline=request.inline,
            note=note_of(origin, Action.GENERATE),
        )
        return Accepted(job=job, known=job.job_id != job_id)

    async def quote(self, request: GenerationRequest) -> int | None:
        """Returns the most that an attempt may cost, in millicredits; None where the price is not known.

        Records nothing. Raises what `accept` would, but for SceneBusy and QueueFull, which are soon over.
        """
        try:
            _, estimate = self.judge(request)
        except (InvalidRequest, PriceUnknown, CreditsExceeded):
            await self._known(request)
            raise
        if await self._known(request) is None:
            await self._assets.check(request.project_id, request.scene_id, request.spec.media)
        await self._store.check_cap(request.project_id, estimate)
        return estimate

    async def _known(self, request: GenerationRequest) -> Job | None:
        """Returns the job that an earlier call of the same request made. Raises RequestReused, JobDeleted."""
        if any(_key_errors(request)):
            return None
        return await self._store.find(request.project_id, request.request_id, request.digest)

    def judge(self, request: GenerationRequest) -> tuple[JobRequest, int | None]:
        """Returns the request as it is stored, and its price in millicredits.

        Raises InvalidRequest, PriceUnknown, CreditsExceeded.
        """
        now = self._clock()
        if errors := list(self._errors(request, now)):
            raise InvalidRequest(errors)
        estimate = self._models.quote(request.spec)
        limit = None if request.max_credits is None else round(request.max_credits * 1000)
        if limit is not None and estimate is None:
            raise PriceUnknown("max_credits is set, and the price of this model is not known")
        if limit is not None and estimate is not None and estimate > limit:
            raise CreditsExceeded(estimate)
        return _stored(request, limit, now), estimate

    def _errors(self, request: GenerationRequest, now: datetime) -> Iterator[FieldError]:
        yield from _key_errors(request)
        if text := id_error("scene", request.scene_id):
            yield FieldError(field="scene_id", description=text)
        yield from request.unread
        yield from self._media_errors(request)
        if not request.unread_media and not request.unread:
            # Without one the operation, and so the model's rules, would be guessed.
            yield from self._models.field_errors(request.spec)
        yield from _bound_errors(request)
        for name, at in (("start_by", request.start_by), ("finish_by", request.finish_by)):
            if isinstance(at, FieldError):
                yield at
            elif at is not None and at <= now:
                yield FieldError(field=name, description="must lie in the future")

    def _media_errors(self, request: GenerationRequest) -> Iterator[FieldError]:
        read = iter(request.spec.media)
        for number in range(len(request.spec.media) + len(request.unread_media)):
            if number in request.unread_media:
                yield request.unread_media[number]
            else:
                media = next(read)
                yield from self._source_errors(f"media[{number}]", media, request.inline)
                if request.spec.operation is not Operation.TEXT_TO_IMAGE:
                    yield from _unread_words(f"media[{number}]", media)
        if sum(len(data) for data in request.inline.values()) > MAX_INLINE_BYTES:
            text = f"inline data may be {MAX_INLINE_BYTES} bytes in all; give larger media by uri or asset"
            yield FieldError(field="media", description=text)

    def _source_errors(self, path: str, media: Media, inline: Mapping[str, bytes]) -> Iterator[FieldError]:
        if media.scene_id:
            wrong = id_error("scene", media.scene_id) or ("" if media.asset else "only with an asset, which it has")
            if wrong:
                yield FieldError(field=f"{path}.scene_id", description=wrong)
        if media.uri is not None:
            if text := self._media.uri_error(media.uri):
                yield FieldError(field=f"{path}.uri", description=text)
        elif media.asset is not None:
            if text := path_error(media.asset):
                yield FieldError(field=f"{path}.asset", description=text)
        elif kind_of(media.role) is not Kind.PICTURE:
            text = "only pictures may be sent inline; give a video or a sound by uri or asset"
            yield FieldError(field=f"{path}.data", description=text)
        elif not (data := inline.get(media.digest or "")):
            yield FieldError(field=f"{path}.data", description="0 bytes are no picture")
        elif text := self._media.misfit(data[:HEAD_BYTES], Kind.PICTURE):
            yield FieldError(field=f"{path}.data", description=text)


def _names_files(spec: GenerationSpec) -> bool:
    return any(one.asset is not None for one in spec.media)


def _unread_words(path: str, media: Media) -> Iterator[FieldError]:
    """Yields the words about a reference that only the making of pictures reads."""
    for name in ("tag", "subject"):
        if getattr(media, name):
            yield FieldError(field=f"{path}.{name}", description="only for the references of a picture")


def _key_errors(request: GenerationRequest) -> Iterator[FieldError]:
    """Yields what is wrong with the two ids by which an earlier request is looked up."""
    if text := id_error("project", request.project_id):
        yield FieldError(field="project_id", description=text)
    if not REQUEST_ID.fullmatch(request.request_id):
        text = "required: 1 to 128 of the characters A-Z a-z 0-9 . _ : -"
        yield FieldError(field="request_id", description=text)
    elif request.request_id.startswith(FILM_REQUESTS):
        text = f"the service itself gives ids that begin with {FILM_REQUESTS}"
        yield FieldError(field="request_id", description=text)


def _bound_errors(request: GenerationRequest) -> Iterator[FieldError]:
    if not 1 <= request.max_attempts <= MAX_ATTEMPTS:
        yield FieldError(field="max_attempts", description=f"must be 1 to {MAX_ATTEMPTS}")
    if abs(request.priority) > MAX_PRIORITY:
        yield FieldError(field="priority", description=f"must be -{MAX_PRIORITY} to {MAX_PRIORITY}")
    if request.max_credits is not None and not 0 < request.max_credits <= MAX_CREDITS:
        yield FieldError(field="max_credits", description=f"must be more than 0 and at most {MAX_CREDITS}")
    if isinstance(request.on_unknown_submission, FieldError):
        yield request.on_unknown_submission
    if len(request.labels) > MAX_LABELS:
        yield FieldError(field="labels", description=f"at most {MAX_LABELS}")
    for name, value in request.labels.items():
        if not 1 <= len(name) <= 63 or len(value) > 255:
            text = "a name may have 1 to 63 characters, a value 255"
            yield FieldError(field=f"labels[{name[:63]}]", description=text)


def _stored(request: GenerationRequest, max_millicredits: int | None, now: datetime) -> JobRequest:
    """Returns a request without errors as it is stored."""
    on_unknown, start_by, finish_by = request.on_unknown_submission, request.start_by, request.finish_by
    assert not isinstance(on_unknown, FieldError)
    assert not isinstance(start_by, FieldError)
    assert not isinstance(finish_by, FieldError)
    return JobRequest(
        project_id=request.project_id,
        scene_id=request.scene_id,
        request_id=request.request_id,
        digest=request.digest,
        spec=request.spec,
        priority=request.priority,
        max_attempts=request.max_attempts,
        on_unknown_submission=on_unknown,
        max_millicredits=max_millicredits,
        start_by=start_by or now + START_WITHIN,
        finish_by=finish_by,
        labels=dict(request.labels),
        traceparent=request.traceparent,
    )
