"""A plan as a JSON document, and back."""

from collections.abc import Mapping

from evergreen_server.film.model import Plan
from evergreen_server.ports.specs import Json

__all__ = ["UnreadablePlan", "from_document", "to_document"]


class UnreadablePlan(ValueError):
    """The document is of a later version, or none of a plan."""


def to_document(plan: Plan) -> dict[str, Json]:
    """Returns a plan as a JSON object, which says its own version."""
    raise NotImplementedError


def from_document(document: Mapping[str, Json]) -> Plan:
    """Returns the plan of a document. Raises UnreadablePlan."""
    raise NotImplementedError
