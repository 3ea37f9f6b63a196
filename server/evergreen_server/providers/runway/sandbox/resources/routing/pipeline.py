"""How a router chooses a model: filters, one after the other, then a rank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evergreen_server.providers.runway.catalog.models import Issue, Json, check_body
from evergreen_server.providers.runway.sandbox.generation.asked import inside
from evergreen_server.providers.runway.sandbox.resources.routing.routed_inputs import Candidate

__all__ = ["FILTERS", "Filter", "Priced", "allowed", "provider_of", "rank", "stages"]

Filter: TypeAlias = Literal["capability", "prompt_length", "input_support", "allow_deny", "price"]

FILTERS: tuple[Filter, ...] = ("capability", "prompt_length", "input_support", "allow_deny", "price")

_INPUTS = frozenset({
    "promptImage", "references", "referenceImages", "videoUri", "promptVideo", "referenceVideos", "referenceAudio",
    "referenceAudios", "keyframes",
})  # fmt: skip
_QUICK = ("turbo", "fast", "flash", "lite", "mini")
_PROVIDERS = {
    "veo": "google", "gemini": "google", "nano": "google", "kling": "kling", "seed": "bytedance",
    "eleven": "elevenlabs", "hailuo": "minimax", "h3": "minimax", "wan": "alibaba", "happyhorse": "alibaba",
    "grok": "xai", "gpt": "openai", "recraft": "recraft", "ideogram": "ideogram", "bria": "bria", "muse": "meta",
    "mirelo": "mirelo",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Priced:
    """A candidate with its price in millicredits."""

    candidate: Candidate
    price: int


def stages(candidate: Candidate) -> set[Filter]:
    """Returns the filters that a candidate does not pass, by what its own rules say of the body."""
    return {_stage(issue) for issue in check_body(candidate.operation, candidate.body)}


def allowed(settings: Mapping[str, Json], model: str) -> bool:
    """Returns whether a router's list admits a model."""
    models = inside(settings, "models")
    ids = models.get("ids")
    listed = model in ids if isinstance(ids, list) else False
    return listed if models.get("mode") == "allowlist_only" else not listed


def rank(found: Sequence[Priced], aim: str) -> tuple[list[Priced], str, str]:
    """Returns the candidates, best first, how they were ranked and why the first won."""
    match aim:
        case "latency":
            ordered = sorted(found, key=lambda each: (not _is_quick(each.candidate.model), each.price))
            outcome, reason = "selected", "best_latency"
        case "quality":
            # What costs more is taken for better; nothing else is published.
            ordered = sorted(found, key=lambda each: -each.price)
            outcome, reason = "selected", "best_quality"
        case _:
            ordered = sorted(found, key=lambda each: each.price)
            outcome, reason = "cost", "lowest_cost"
    return (ordered, "single_candidate", "only_eligible_model") if len(ordered) == 1 else (ordered, outcome, reason)


def provider_of(model: str) -> str:
    """Returns who makes a model; what bears no other's name is the provider's own."""
    return next((name for start, name in _PROVIDERS.items() if model.startswith(start)), "runway")


def _is_quick(model: str) -> bool:
    return any(word in model for word in _QUICK)


def _stage(issue: Issue) -> Filter:
    if issue.path and issue.path[0] == "promptText" and issue.code in ("too_big", "too_small"):
        return "prompt_length"
    keys = issue.details.get("keys")
    named = {str(issue.path[0])} if issue.path else set(map(str, keys)) if isinstance(keys, list) else set()
    return "input_support" if named and named <= _INPUTS else "capability"
