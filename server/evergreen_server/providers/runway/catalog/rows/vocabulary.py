"""The vocabulary of the table's rows: ratio sets and rules that models share."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from evergreen_server.ports.specs import Json, Kind
from evergreen_server.providers.runway.catalog.rules import Flag, Issue, Number, OneOf, Operation, Rule, Text, Whole
from evergreen_server.providers.runway.catalog.shapes import Frames, Items, Object, Uri

Check = Callable[[Mapping[str, Json]], Iterator[Issue]]
Fields = dict[str, Rule]

FROM_IMAGE, FROM_TEXT, FROM_VIDEO = Operation.IMAGE_TO_VIDEO, Operation.TEXT_TO_VIDEO, Operation.VIDEO_TO_VIDEO


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model in one operation. `closed`: the provider is known to refuse fields that it does not know."""

    operation: Operation
    model: str
    fields: Mapping[str, Rule]
    required: frozenset[str]
    closed: bool
    checks: tuple[Check, ...] = ()


LONGEST_SECONDS = 30
"""No model of the API makes a longer video; the bound where a model's own is not known."""

LONGEST_SOURCE_SECONDS = 300
"""No model of the API takes a longer video; the bound where a model's own is not known."""

MOST_OUTPUTS = 10
"""No model of the API makes more files at once; the bound where a model's own is not known."""

V6 = ("1280:720", "720:1280", "1104:832", "832:1104", "960:960", "1584:672")
V4 = ("1280:720", "720:1280", "1920:1080", "1080:1920")
WIDE_AND_TALL = ("1280:720", "720:1280")
S480 = ("992:432", "864:496", "752:560", "640:640", "560:752", "496:864")
S480B = ("992:432", "854:480", "752:560", "640:640", "560:752", "480:854")
S720 = ("1470:630", "1280:720", "1112:834", "960:960", "834:1112", "720:1280")
S1080 = ("2206:946", "1920:1080", "1664:1248", "1440:1440", "1248:1664", "1080:1920")
S4K = ("3840:1646", "3840:2160", "3840:2880", "3840:3840", "2880:3840", "2160:3840")
W15 = (
    "832:480", "720:544", "624:624", "544:720", "480:832", "1280:720", "1104:832", "960:960", "832:1104", "720:1280",
    "1920:1080", "1648:1248", "1440:1440", "1248:1648", "1080:1920",
)  # fmt: skip
WA = ("auto_480p", "auto_720p", "auto_1080p")
G11 = (
    "640:360",
    "360:640",
    "1280:720",
    "720:1280",
    "1920:1080",
    "1080:1920",
    "3840:2160",
    "2160:3840",
)
KS = ("1280:720", "720:1280", "960:960")
KP = ("1920:1080", "1080:1920", "1440:1440")
K4 = ("3840:2160", "2160:3840", "2880:2880")
HL = ("adaptive", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16")
HAPPYHORSE = (
    "1280:720", "720:1280", "960:960", "1108:832", "832:1108", "1920:1080", "1080:1920", "1440:1440", "1662:1248",
    "1248:1662",
)  # fmt: skip
GROK_LITE = (
    "848:480", "480:848", "480:480", "640:480", "480:640", "720:480", "480:720", "1280:720", "720:1280", "720:720",
    "960:720", "720:960", "1088:720", "720:1088", "1904:1072", "1072:1904", "1424:1424", "1648:1232", "1232:1648",
    "1744:1152", "1152:1744",
)  # fmt: skip
KLING_25 = ("1920:1080", "1440:1440", "1080:1920", "1280:720", "720:720", "720:1280")
KLING_4 = (
    "1280:720", "720:1280", "940:940", "1460:624", "1920:1080", "1080:1920", "1440:1440", "2200:940", "auto_720p",
    "auto_1080p",
)  # fmt: skip

PICTURE, VIDEO, AUDIO = Uri(Kind.PICTURE), Uri(Kind.VIDEO), Uri(Kind.AUDIO)
SEED = Whole(0, 4_294_967_295)
FIRST, FIRST_LAST = Frames("first"), Frames("first_last")
MODERATION = Object({"publicFigureThreshold": OneOf(("auto", "low"))})
PRORES = OneOf(("422", "4444", "422 Proxy", "422 LT", "422 HQ", "4444 XQ"))
GEN45_FORMATS = OneOf((
    "mp4", "prores", "png_sequence", "hdr10", "hlg", "sdr_rec709_10bit", "hdr_pq_12bit_master", "hdr_prores",
    "hdr_png_sequence", "hdr_exr_sequence", "hdr_exr_acescg_sequence_1_3", "hdr_exr_acescg_sequence_2_0",
))  # fmt: skip
WITH_AUDIO: Fields = {"audio": Flag()}
WITH_SEED: Fields = {"seed": SEED}
ALEPH_FORMATS = OneOf(("mp4", "prores", "png_sequence", "sdr_rec709_10bit"))
ALEPH_ASPECTS = OneOf(("16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "21:9"))
MODE = OneOf(("reference", "extend", "edit"))


def pictures(maximum: int | None) -> Items:
    return Items(Object({"uri": PICTURE}, frozenset({"uri"})), maximum)


def typed(kind: str, uri: Uri, maximum: int | None) -> Items:
    return Items(
        Object({"type": OneOf((kind,)), "uri": uri}, frozenset({"type", "uri"})),
        maximum,
    )


def videos(maximum: int | None) -> Items:
    return typed("video", VIDEO, maximum)


def sounds(maximum: int | None) -> Items:
    return typed("audio", AUDIO, maximum)


def positioned(maximum: int) -> Items:
    item = Object({"uri": PICTURE, "position": OneOf(("first", "last"))}, frozenset({"uri"}))
    return Items(item, maximum, or_string=PICTURE)


def plain_videos(maximum: int | None = None) -> Items:
    """Returns the rule for reference videos of the newer models, with or without the `type` of the older ones."""
    return Items(Object({"uri": VIDEO, "type": OneOf(("video",))}, frozenset({"uri"})), maximum)


def keyframes() -> Items:
    window = Object(
        {"start_seconds": Whole(0), "end_seconds": Whole(1)},
        frozenset({"start_seconds", "end_seconds"}),
    )
    item = Object(
        {"uri": PICTURE, "seconds": Number(0, 30), "at": Number(0, 1), "range": window},
        frozenset({"uri"}),
    )
    return Items(item, 5, minimum=1)


def provider_settings(*, sound: bool) -> Object:
    segment = Object({"prompt": Text(minimum=3), "duration": Whole(1, 15)}, frozenset({"prompt", "duration"}))
    members: dict[str, Rule] = {
        "shotType": OneOf(("intelligence", "customize")),
        "multiPrompt": Items(segment),
    }
    return Object(members | {"keepOriginalSound": Flag()} if sound else members)


def row(
    operation: Operation,
    model: str,
    fields: Mapping[str, Rule],
    *checks: Check,
    closed: bool = False,
) -> Row:
    """Returns a row; `!` after a field's name marks it as required."""
    return Row(
        operation=operation,
        model=model,
        fields={name.rstrip("!"): rule for name, rule in fields.items()},
        required=frozenset(name[:-1] for name in fields if name.endswith("!")),
        closed=closed,
        checks=checks,
    )
