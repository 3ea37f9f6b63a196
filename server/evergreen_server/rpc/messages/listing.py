"""Reads ListVideosRequest: which jobs are asked for, and where the page begins."""

import json
import re
from collections.abc import Mapping
from functools import partial
from hashlib import sha256

from evergreen.v1 import video_pb2
from evergreen_server.jobs.intake import MAX_LABELS
from evergreen_server.jobs.model.states import State
from evergreen_server.jobs.store.listing import Listing
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.access.policy import Caller
from evergreen_server.rpc.messages.fields import VIDEOS, read_kinds, read_time
from evergreen_server.rpc.messages.paging import read_place
from evergreen_storage import id_error

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
MAX_MODELS = 32
ID_PART = re.compile(r"[0-9a-f-]{4,36}")

STATES: Mapping[int, State] = {
    number: State[name.removeprefix("JOB_STATE_")] for name, number in video_pb2.JobState.items() if number
}


def read_list_request(message: video_pb2.ListVideosRequest, caller: Caller) -> tuple[Listing, str, str]:
    """Returns the list that is asked for, its scope for page tokens, and after which job its page begins.

    Raises InvalidRequest, with every fault.
    """
    field_errors: list[FieldError] = []
    if message.project_id and (text := id_error("project", message.project_id)):
        field_errors.append(FieldError(field="project_id", description=text))
    if message.scene_id and (text := id_error("scene", message.scene_id)):
        field_errors.append(FieldError(field="scene_id", description=text))
    if message.scene_id and not message.project_id:
        field_errors.append(FieldError(field="project_id", description="required with a scene_id"))
    if message.page_size < 0:
        field_errors.append(FieldError(field="page_size", description=f"must be 1 to {MAX_PAGE_SIZE}"))
    for number, state in enumerate(message.states):
        if state not in STATES:
            field_errors.append(FieldError(field=f"states[{number}]", description="not a state"))
    if message.order not in video_pb2.ListOrder.values():
        field_errors.append(FieldError(field="order", description="must be OLDEST_FIRST or NEWEST_FIRST"))
    if len(message.labels) > MAX_LABELS:
        field_errors.append(FieldError(field="labels", description=f"at most {MAX_LABELS}"))
    if len(message.models) > MAX_MODELS:
        field_errors.append(FieldError(field="models", description=f"at most {MAX_MODELS}"))
    begin = read_time(message, "created_from", field_errors)
    end = read_time(message, "created_before", field_errors)
    if begin is not None and end is not None and end <= begin:
        field_errors.append(FieldError(field="created_before", description="must be after created_from"))
    if message.job_id_part and not ID_PART.fullmatch(message.job_id_part):
        field_errors.append(FieldError(field="job_id_part", description="must be 4 to 36 of 0-9 a-f -"))
    listing = Listing(
        project_id=message.project_id,
        scene_id=message.scene_id,
        states=sorted({STATES[state] for state in message.states if state in STATES}),
        kinds=read_kinds(message.kinds, field_errors),
        models=sorted(set(message.models)),
        labels=dict(message.labels),
        created_from=begin,
        created_before=end,
        projects=caller.projects,
        id_part=message.job_id_part,
        newest_first=message.order == video_pb2.LIST_ORDER_NEWEST_FIRST,
    )
    scope = _scope(listing)
    after = read_place(message.page_token, scope, wrong=partial(id_error, "job"), errors=field_errors)
    if field_errors:
        raise InvalidRequest(field_errors)
    return listing, scope, after


def _scope(listing: Listing) -> str:
    """Returns a text that no other list has."""
    scope = f"{listing.project_id}/{listing.scene_id}/{','.join(listing.states)}"
    if listing.kinds != VIDEOS:
        scope += f"/{','.join(sorted(listing.kinds))}"
    times = [None if at is None else at.isoformat() for at in (listing.created_from, listing.created_before)]
    rest = [listing.newest_first, sorted(listing.labels.items()), listing.models, times]
    # Left out where it is empty, so that tokens of the release before stay valid.
    rest += [listing.id_part] if listing.id_part else []
    if rest != [False, [], [], [None, None]]:
        # What a caller may choose freely must not make a token long, or look like another list's.
        scope += f" {sha256(json.dumps(rest).encode()).hexdigest()}"
    return scope
