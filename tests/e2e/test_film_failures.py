"""Films whose clip the provider fails, by each of its codes and each policy, over the whole service."""

from collections.abc import Iterator
from itertools import cycle, product

import pytest

from evergreen.v1 import film_pb2, video_pb2
from tests.rpc.films import approved, cancelled, film_until, outputs_of, planned, started
from tests.serving import Api, Control

SUCCEEDED, FAILED = video_pb2.FILM_STATE_SUCCEEDED, video_pb2.FILM_STATE_FAILED
ASKS, CANCELLED = video_pb2.FILM_STATE_NEEDS_ATTENTION, video_pb2.FILM_STATE_CANCELLED
CODES = {
    "SAFETY.INPUT.TEXT": "MODERATED_INPUT",
    "SAFETY.INPUT.IMAGE": "MODERATED_INPUT",
    "SAFETY.OUTPUT.VIDEO": "MODERATED_OUTPUT",
    "INPUT_PREPROCESSING.SAFETY.TEXT": "MODERATED_INPUT",
    "INPUT_PREPROCESSING.INTERNAL": "PROVIDER_INTERNAL",
    "INTERNAL": "PROVIDER_INTERNAL",
    "INTERNAL.BAD_OUTPUT": "BAD_OUTPUT",
    "ASSET.INVALID": "ASSET_INVALID",
    "THIRD_PARTY.UNAVAILABLE": "PROVIDER_OVERLOADED",
}
"""The provider's codes of a failure, and what of them a job is told."""
POLICIES = {
    "ASK": ASKS,
    "STILL": SUCCEEDED,
    "LAST_GOOD": ASKS,
    "SKIP": SUCCEEDED,
    "FAIL": FAILED,
}
"""What becomes of a film whose only clip fails; nothing is there yet that could stand in."""


def script_of(project: str) -> str:
    return f"Title: {project}\nAuthor: A\n\nINT. KITCHEN - DAY\n\nA kettle for {project}.\n"


def pairs(*, every: bool) -> Iterator[tuple[str, str]]:
    """All of them; or some, in which each code and each policy is."""
    return product(POLICIES, CODES) if every else zip(cycle(POLICIES), CODES, strict=False)


async def test_a_clip_that_the_provider_fails_goes_by_the_policy(
    api: Api, sandbox: Control, request: pytest.FixtureRequest
) -> None:
    every = bool(request.config.getoption("--every-moment", default=False))
    wanted = {
        f"p-{policy}-{code}-end".lower().replace(".", "-").replace("_", "-"): (policy, code)
        for policy, code in pairs(every=every)
    }
    for project, (policy, code) in wanted.items():
        await planned(api, project_id=project, script=script_of(project))
        await sandbox.fault("failure", operation="create", path="/v1/image_to_video", prompt=project, failureCode=code)
        await started(api, project, on_shot_failure=film_pb2.OnShotFailure.Value(f"ON_SHOT_FAILURE_{policy}"))

    for project, (policy, code) in wanted.items():
        film = await film_until(api, project, SUCCEEDED, FAILED, ASKS)
        status, clip = film.status, outputs_of(film)["scene-1.1/clip"]
        assert status.state == POLICIES[policy], (policy, code)
        assert clip.currency == film_pb2.CURRENCY_MISSING
        job = await api.status(clip.job_id)
        assert (job.state, job.error.reason) == (video_pb2.JOB_STATE_FAILED, CODES[code]), (policy, code)
        tasks = await sandbox.tasks(project)
        # Nothing was tried again that nobody has asked for, and what failed is on our books as on the provider's.
        assert len(tasks) == 2
        assert status.spent_credits == sum(task["chargedCredits"] for task in tasks)
        if status.state != ASKS:
            continue
        (trouble,) = status.troubles
        assert (trouble.shot_id, trouble.output, trouble.error.reason) == ("scene-1.1", "clip", CODES[code])
        if policy == "ASK":
            await approved(api, status)
            film = await film_until(api, project, SUCCEEDED)
            assert outputs_of(film)["scene-1.1/clip"].take == 2
        else:
            await cancelled(api, status)
            await film_until(api, project, CANCELLED)
