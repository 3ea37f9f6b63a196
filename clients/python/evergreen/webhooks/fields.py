"""What a webhook is set up with, as keywords."""

from collections.abc import Iterable, Mapping
from typing import Required, TypedDict

from evergreen.v1.webhook_pb2 import WebhookFilter, WebhookState


class FilterFields(TypedDict, total=False):
    """Which events a webhook hears of: see `WebhookFilter`."""

    project_ids: Iterable[str]
    all_projects: bool
    types: Iterable[str]
    labels: Mapping[str, str]


class WebhookFields(FilterFields, total=False):
    """The fields of `CreateWebhookRequest`. One of `project_ids` and `all_projects` is required.

    A `request_id` is generated if absent.
    """

    url: Required[str]
    description: str
    request_id: str


class WebhookChanges(FilterFields, total=False):
    """What may be changed of a webhook; `state` is `ACTIVE` or `PAUSED`."""

    url: str
    description: str
    state: WebhookState.ValueType


def filtered(fields: FilterFields, present: WebhookFilter | None = None) -> WebhookFilter | None:
    """Returns a filter with the fields that are given and, for those that are not, of the present one.

    Returns None if none is given.
    """
    if not FilterFields.__optional_keys__ & fields.keys():
        return None
    changed = WebhookFilter()
    if present is not None:
        changed.CopyFrom(present)
    if "project_ids" in fields:
        changed.project_ids[:] = fields["project_ids"]
        changed.all_projects = False
    if "all_projects" in fields:
        changed.all_projects = fields["all_projects"]
        if changed.all_projects and "project_ids" not in fields:
            changed.ClearField("project_ids")
    if "types" in fields:
        changed.types[:] = fields["types"]
    if "labels" in fields:
        changed.labels.clear()
        changed.labels.update(fields["labels"])
    return changed
