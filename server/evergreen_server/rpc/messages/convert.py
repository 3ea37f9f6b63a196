"""Converts between our values and the contract's messages."""

import asyncio
from collections.abc import Collection, Iterable, Mapping

from evergreen.v1 import scene_pb2, video_pb2
from evergreen_server.jobs.admission.forecast import Forecast
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.store.ledger import Totals
from evergreen_server.jobs.store.projects import Project
from evergreen_server.ports.catalog import ModelInfo, OperationInfo, PriceInfo, PriceUnit
from evergreen_server.ports.provider import Account
from evergreen_server.rpc.messages.accepted import generate_request_message, request_message
from evergreen_server.rpc.messages.values import credits_of, set_time, timestamp
from evergreen_storage import FOLDERS, Asset, Meta, Scene, SceneSummary

UNKNOWN_TYPE = "application/octet-stream"
AT_ONCE = 200


def job_message(job: Job, *, whole: bool) -> video_pb2.Job:
    """Returns the message of a job; `whole` adds the request as accepted, which events omit."""
    message = video_pb2.Job()
    fill_job(message, job)
    if whole and job.request.spec.operation is None:
        message.request.CopyFrom(request_message(job))
    elif whole:
        message.generate_request.CopyFrom(generate_request_message(job))
    return message


def fill_job(message: video_pb2.Job, job: Job) -> None:
    """Sets all fields of an empty message but the request. In place, since a message within another is copied twice."""
    # A job that is being cancelled keeps the stage that was interrupted, which is internal.
    stage = job.stage if job.state in (State.QUEUED, State.RUNNING) else Stage.NONE
    message.job_id = job.job_id
    message.project_id = job.request.project_id
    message.scene_id = job.request.scene_id
    message.request_id = job.request.request_id
    message.state = video_pb2.JobState.Value(f"JOB_STATE_{job.state.value}")
    message.stage = video_pb2.JobStage.Value(f"JOB_STAGE_{stage.value or 'UNSPECIFIED'}")
    message.revision = job.revision
    message.progress = job.progress
    message.attempt = job.attempt
    message.provider_task_id = job.task_id
    message.kind = video_pb2.MediaKind.Value(f"MEDIA_KIND_{job.request.spec.kind.value}")
    message.film_id = job.request.film_id
    message.labels.update(job.request.labels)
    set_time(message.create_time, job.created_at)
    set_time(message.update_time, job.updated_at)
    if job.started_at is not None:
        set_time(message.start_time, job.started_at)
    if job.ended_at is not None:
        set_time(message.end_time, job.ended_at)
    if job.estimated_millicredits is not None:
        message.estimated_credits = credits_of(job.estimated_millicredits)
    if job.charged_millicredits is not None and job.cost_basis is not None:
        message.charged_credits = credits_of(job.charged_millicredits)
        message.cost_basis = video_pb2.CostBasis.Value(f"COST_BASIS_{job.cost_basis.value}")
    for output in job.outputs:
        message.outputs.add(
            asset=output.path,
            content_type=output.content_type,
            size_bytes=output.size_bytes,
            crc32c=output.crc32c,
            width=output.width,
            height=output.height,
            duration_seconds=output.duration_seconds,
            poster=output.poster,
        )
    for warning in job.warnings:
        message.warnings.add(code=warning.code, message=warning.message)
    if job.error is not None:
        message.error.reason = job.error.reason
        message.error.message = job.error.message
        message.error.provider_code = job.error.provider_code
        message.error.retryable = job.error.retryable


def forecast_message(forecast: Forecast) -> video_pb2.Job:
    """Returns the part of a job's message with its place in the queue and its expected times."""
    message = video_pb2.Job(queue_position=forecast.position)
    if forecast.starts_at is not None:
        message.estimated_start_time.CopyFrom(timestamp(forecast.starts_at))
    if forecast.ends_at is not None:
        message.estimated_end_time.CopyFrom(timestamp(forecast.ends_at))
    return message


def model_message(info: ModelInfo, operations: Collection[str]) -> video_pb2.Model:
    """Returns the message of a model with those of these operations that it has."""
    rules = [rules for rules in info.rules if rules.operation in operations]
    return video_pb2.Model(
        model=info.model,
        operations=[video_pb2.Operation.Value(f"OPERATION_{each.operation.upper()}") for each in rules],
        roles=[video_pb2.MediaRole.Value(f"MEDIA_ROLE_{role.value}") for role in info.roles],
        ratios=info.ratios,
        resolutions=info.resolutions,
        durations_seconds=info.durations_seconds,
        prompt_max_utf16=info.prompt_max_utf16,
        prompt_required=info.prompt_required,
        options=info.options,
        prices=_prices(info.prices),
        rules=[_rules_message(each) for each in rules],
    )


def _rules_message(info: OperationInfo) -> video_pb2.OperationRules:
    return video_pb2.OperationRules(
        operation=video_pb2.Operation.Value(f"OPERATION_{info.operation.upper()}"),
        roles=[video_pb2.MediaRole.Value(f"MEDIA_ROLE_{role.value}") for role in info.roles],
        ratios=info.ratios,
        resolutions=info.resolutions,
        durations_seconds=info.durations_seconds,
        prompt_max_utf16=info.prompt_max_utf16,
        prompt_required=info.prompt_required,
        options=info.options,
        prices=_prices(info.prices),
        voices=info.voices,
        languages=info.languages,
        references_max=info.references_max,
        outputs_max=info.outputs_max,
        duration_min_seconds=info.duration_min_seconds,
        duration_max_seconds=info.duration_max_seconds,
        source_max_seconds=info.source_max_seconds,
    )


def _prices(prices: Iterable[PriceInfo]) -> list[video_pb2.Price]:
    return [
        video_pb2.Price(
            condition=price.condition,
            credits_per_second=credits_of(price.millicredits) / price.quantity if price.unit is PriceUnit.SECOND else 0,
            unit=video_pb2.PriceUnit.Value(f"PRICE_UNIT_{price.unit.value}"),
            quantity=price.quantity,
            credits=credits_of(price.millicredits),
        )
        for price in prices
    ]


def account_message(account: Account, totals: Totals, *, cap: int | None) -> video_pb2.GetAccountResponse:
    message = video_pb2.GetAccountResponse(
        credit_balance=credits_of(account.balance_millicredits),
        api_version=account.api_version,
        reserved_credits=credits_of(totals.reserved),
        spent_credits=credits_of(totals.spent),
        spent_confirmed_credits=credits_of(totals.confirmed),
        spent_upper_bound_credits=credits_of(totals.bounded),
    )
    if cap is not None:
        message.project_cap_credits = credits_of(cap)
    if account.max_monthly_millicredits is not None:
        message.max_monthly_credits = credits_of(account.max_monthly_millicredits)
    for model, limits in sorted(account.limits.items()):
        message.usage.add(
            model=model,
            max_concurrent=limits.max_concurrent,
            max_daily=limits.max_daily,
            used_today=limits.used_today,
        )
    return message


def project_message(project: Project, *, cap: int | None) -> video_pb2.Project:
    return video_pb2.Project(
        project_id=project.project_id,
        revision=project.revision,
        job_counts=[
            video_pb2.JobCount(state=video_pb2.JobState.Value(f"JOB_STATE_{state.value}"), count=number)
            for state, number in project.jobs.items()
            if number
        ],
        reserved_credits=credits_of(project.totals.reserved),
        spent_credits=credits_of(project.totals.spent),
        cap_credits=None if cap is None else credits_of(cap),
        create_time=timestamp(project.created_at),
        update_time=timestamp(project.updated_at),
    )


async def scene_message(scene: Scene, files: Mapping[str, Mapping[str, Meta] | None]) -> scene_pb2.Scene:
    """Returns the message of a scene with the files in its five folders, by folder and path.

    A file that scene.json does not describe as it is gets what its name and the storage say; a folder that could not be
    listed gets what scene.json names. Yields to other tasks now and then, since a scene may hold thousands of files.
    """
    message = scene_pb2.Scene(
        project_id=scene.project_id,
        scene_id=scene.id,
        create_time=timestamp(scene.created_at),
        update_time=timestamp(scene.updated_at),
        status=scene.status,
        video_requests=len(scene.video_requests),
        completed_videos=len(scene.completed_videos),
        image_requests=len(scene.image_requests),
        completed_images=len(scene.completed_images),
        audio_requests=len(scene.audio_requests),
        completed_audio=len(scene.completed_audio),
    )
    assets = {"images": scene.images, "audio": scene.audio, "videos": scene.videos, "exports": scene.exports}
    for name in FOLDERS:
        named = {asset.path: asset for asset in assets.get(name, ())}
        found = files[name]
        listed = message.folders.add(name=name).assets
        for number, path in enumerate(sorted(named if found is None else found)):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            asset, meta = named.get(path), found[path] if found is not None else None
            if asset is not None and (meta is None or asset.size_bytes == meta.size):
                listed.append(asset_message(asset))
            elif meta is not None:
                listed.append(file_message(path, meta))
    return message


def summary_message(summary: SceneSummary) -> scene_pb2.Scene:
    return scene_pb2.Scene(
        project_id=summary.project_id,
        scene_id=summary.id,
        create_time=timestamp(summary.created_at),
        update_time=timestamp(summary.updated_at),
        status=summary.status,
        video_requests=summary.video_requests,
        completed_videos=summary.completed_videos,
        image_requests=summary.image_requests,
        completed_images=summary.completed_images,
        audio_requests=summary.audio_requests,
        completed_audio=summary.completed_audio,
    )


def file_message(path: str, meta: Meta) -> scene_pb2.Asset:
    """Returns the message of a file that was put there by other means."""
    return scene_pb2.Asset(
        path=path,
        content_type=meta.content_type or UNKNOWN_TYPE,
        size_bytes=meta.size,
        create_time=timestamp(meta.modified),
    )


def asset_message(asset: Asset) -> scene_pb2.Asset:
    return scene_pb2.Asset(
        path=asset.path,
        content_type=asset.content_type,
        size_bytes=asset.size_bytes,
        crc32c=asset.crc32c,
        width=asset.width,
        height=asset.height,
        duration_seconds=asset.duration_seconds,
        create_time=timestamp(asset.created_at),
        job_id=asset.job_id or "",
    )
