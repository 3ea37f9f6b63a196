"""What the samples of the SDK's tests become, where they break a rule that the SDK's own comments or the API state."""

from collections.abc import Mapping
from typing import Any

__all__ = ["body_within_rules", "query_within_rules"]

Body = dict[str, Any]

_EMPTY_RANGE = "2019-12-27"
_DAY_BEFORE = "2019-12-26"
_QUERIES = {"actions": "UserLogin", "actorEmails": "ada@example.com", "workspaceIds": "1"}


def query_within_rules(query: Mapping[str, str], *, cursor: str) -> dict[str, str]:
    """Returns parameters with a cursor that a list gave out, words that exist, and ranges that are not empty."""
    kept = {name: _QUERIES.get(name, value) for name, value in query.items()}
    if "cursor" in kept:
        kept["cursor"] = cursor
    for name in ("startDate", "from"):
        if name in kept:
            kept[name] = kept[name].replace(_EMPTY_RANGE, _DAY_BEFORE)
    return kept


def body_within_rules(method: str, path: str, body: Body) -> Body:
    """Returns a body that keeps the documented rules, changed as little as that takes."""
    match method, path.removeprefix("/v1/").split("/"):
        case "PATCH", ["avatars" | "documents", _] if not body:
            return {"name": "x"}
        case "POST", ["organization", "usage"] if "startDate" in body:
            return {**body, "startDate": _DAY_BEFORE}
        case "POST", ["generate", _]:
            return {**body, "input": _routable(body["input"])}
        case "POST", ["recipes", "multi_shot_video"] if "shots" in body:
            return {**body, "shots": _filling(body["shots"], body.get("duration", 10))}
        case "POST", ["text_to_image"]:
            return _picture(body)
        case "POST", _ if "/" not in path.removeprefix("/v1/"):
            return _clip(body)
    return body


def _routable(given: Body) -> Body:
    """Asks for what some model makes: the samples ask for all at once, or for nothing."""
    if given.get("type") == "speech":
        return {name: value for name, value in given.items() if name in ("promptText", "type", "voice")}
    if "promptText" not in given:
        return {"promptText": "x"}
    if "keyframes" in given:
        kept = ("promptText", "referenceVideos", "keyframes")
        return {name: value for name, value in given.items() if name in kept}
    return given


def _filling(shots: list[Body], seconds: int) -> list[Body]:
    """Makes the shots as long together as the video is."""
    rest = seconds - sum(shot["duration"] for shot in shots)
    return [{**shots[0], "duration": shots[0]["duration"] + rest}, *shots[1:]]


def _picture(body: Body) -> Body:
    match body.get("model"):
        case "bria_fibo_edit_1_5" if "ratio" in body:
            return {**body, "referenceImages": body["referenceImages"] * 2}
        case "ideogram_4_5" if "maskUri" in body:
            return {name: value for name, value in body.items() if name not in ("ratio", "preciseEdit")}
    return body


def _clip(body: Body) -> Body:
    changed = dict(body)
    if "proresProfile" in body:
        changed["outputFormat"] = "prores" if body["model"] in ("gen4.5", "aleph2") else "hdr_prores"
    if "multiPrompt" in (settings := body.get("providerSettings", {})):
        segments = [{**segment, "duration": 3} for segment in settings["multiPrompt"]]
        changed["providerSettings"] = {**settings, "multiPrompt": segments}
    if str(body.get("model")).startswith("wan3") and "promptImage" in body and "ratio" in body:
        changed["ratio"] = "auto_720p"
    if [item for item in body.get("referenceVideos", []) if "uri" not in item]:
        # The SDK says nothing of what is in such an item.
        changed.pop("referenceVideos")
    return changed
