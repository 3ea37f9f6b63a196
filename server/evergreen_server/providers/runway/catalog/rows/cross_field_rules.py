"""Rules between fields of one body, where the provider is known to have them."""

from collections.abc import Iterator, Mapping

from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.catalog.rules import Issue, custom

__all__ = [
    "adaptive_needs_references", "auto_ratio_with_frames", "draft_is_mp4", "draft_task_alone", "grok_references",
    "hdr_profile",    "keyframe_times", "kling_pictures", "multi_shot", "prores_profile", "seedance_mode",
]  # fmt: skip

Body = Mapping[str, Json]

HDR_PROFILES = ("422", "422 HQ", "4444")


def prores_profile(body: Body) -> Iterator[Issue]:
    """Checks that a profile comes with a ProRes format; HDR ProRes has fewer profiles."""
    profile = body.get("proresProfile")
    if profile is None:
        return
    match body.get("outputFormat", "mp4"):
        case "prores":
            return
        case "hdr_prores" if profile not in HDR_PROFILES:
            yield custom(
                ("proresProfile",),
                f"With hdr_prores, proresProfile is one of {', '.join(HDR_PROFILES)}.",
            )
        case "hdr_prores":
            return
        case _:
            yield custom(
                ("proresProfile",),
                "proresProfile is only valid with a ProRes outputFormat.",
            )


def hdr_profile(body: Body) -> Iterator[Issue]:
    """Checks that a profile comes with the one format of HDR that has profiles."""
    if "proresProfile" in body and body.get("outputFormat") != "hdr_prores":
        yield custom(("proresProfile",), "proresProfile is only valid with the outputFormat hdr_prores.")


def adaptive_needs_references(body: Body) -> Iterator[Issue]:
    """Checks that an adaptive ratio has references to adapt to."""
    if body.get("ratio") == "adaptive" and not (body.get("references") or body.get("referenceVideos")):
        yield custom(("ratio",), "adaptive needs references; choose a concrete ratio.")


def auto_ratio_with_frames(body: Body) -> Iterator[Issue]:
    """Checks that only the height is chosen with key frames, since the aspect follows the first one."""
    given, ratio = body.get("promptImage"), body.get("ratio")
    framed = isinstance(given, str) or (
        isinstance(given, list) and any(isinstance(item, dict) and "position" in item for item in given)
    )
    if framed and isinstance(ratio, str) and not ratio.startswith("auto_"):
        yield custom(
            ("ratio",),
            "With first or last frames use auto_480p, auto_720p or auto_1080p.",
        )


def draft_is_mp4(body: Body) -> Iterator[Issue]:
    """Checks that a draft is requested as MP4, the only format it is rendered in."""
    if body.get("draft") is True and body.get("outputFormat", "mp4") != "mp4":
        yield custom(("outputFormat",), "A draft is only rendered as mp4.")


def draft_task_alone(body: Body) -> Iterator[Issue]:
    """Checks that a draft to enhance comes alone: it keeps its own prompt and settings."""
    if "draftTaskId" in body:
        for name in body:
            if name not in ("model", "draftTaskId"):
                yield custom((name,), "draftTaskId must be given alone.")


def grok_references(body: Body) -> Iterator[Issue]:
    """Checks that sounds come with a picture, and that pictures cap the resolution."""
    if body.get("referenceAudio") and not body.get("references"):
        yield custom(("referenceAudio",), "referenceAudio needs at least one image reference.")
    if body.get("references") and body.get("resolution") == "1080p":
        yield custom(("resolution",), "With image references the resolution is at most 720p.")


def keyframe_times(body: Body) -> Iterator[Issue]:
    """Checks that each key frame is placed at a second or at a fraction of the video, never both."""
    frames = body.get("keyframes")
    for index, frame in enumerate(frames if isinstance(frames, list) else ()):
        if isinstance(frame, dict) and ("seconds" in frame) == ("at" in frame):
            yield custom(("keyframes", index, "seconds"), "A keyframe needs its time: either seconds or at.")


def kling_pictures(body: Body) -> Iterator[Issue]:
    """Checks the number of pictures, frames and references together."""
    frames, references = body.get("promptImage"), body.get("references")
    count = len(frames) if isinstance(frames, list) else int(frames is not None)
    count += len(references) if isinstance(references, list) else 0
    if count > 10:
        yield custom(("references",), "At most 10 images in total, frames included.")


def multi_shot(body: Body) -> Iterator[Issue]:
    """Checks that the segments of a multi-shot video add up to its length."""
    settings = body.get("providerSettings")
    if not isinstance(settings, dict):
        return
    shots = settings.get("multiPrompt")
    if isinstance(shots, list) and shots:
        lengths = [shot.get("duration") for shot in shots if isinstance(shot, dict)]
        total = sum(length for length in lengths if isinstance(length, int | float))
        if not 3 <= total <= 15:
            where = ("providerSettings", "multiPrompt")
            yield custom(where, f"Segment durations must sum to 3 to 15 seconds, not {total:g}.")
    if settings.get("shotType") == "intelligence" and not body.get("promptText"):
        yield custom(("promptText",), 'promptText is required with shotType "intelligence".')


def seedance_mode(body: Body) -> Iterator[Issue]:
    """Checks that extending or editing a video keeps its aspect, and that editing keeps its length too."""
    mode = body.get("mode", "reference")
    if mode not in ("extend", "edit"):
        return
    if not body.get("promptText"):
        yield custom(("promptText",), f"promptText is required with mode {mode}.")
    if "ratio" in body:
        yield custom(
            ("ratio",),
            f"ratio is not accepted with mode {mode}; the input's aspect is kept.",
        )
    if mode == "edit" and body.get("duration") != "auto":
        yield custom(("duration",), 'With mode edit the duration must be "auto".')
