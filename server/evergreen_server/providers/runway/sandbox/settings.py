"""What can be set on a sandbox, at start or while it runs."""

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from evergreen_server.providers.runway.sandbox.http.reading import finite

Progress = Literal["linear", "stepwise", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the sandbox behaves. Durations are simulated seconds unless said otherwise.

    Tasks keep what was drawn for them at creation; a change here concerns tasks made later.
    """

    task_mean_seconds: float = 30.0
    """Mean running time of a 5 s clip; longer clips take proportionally longer, pictures half as long, sounds less."""
    task_sigma: float = 0.25
    """Spread of the log-normal running time, as a part of the mean. 0 makes every task take its mean."""
    pending_seconds: float = 1.0
    """Time between leaving THROTTLED and RUNNING."""
    preparing_seconds: float = 10.0
    """Time after which a new voice or avatar is READY."""
    progress: Progress = "linear"
    """`linear`: rises with time; `stepwise`: stays, then jumps, near what a hosted model does; `none`: stays 0."""
    progress_every_seconds: float = 5.0
    """Progress changes no faster than this."""
    url_life_seconds: float = 24 * 3600.0
    """How long a signed output URL works."""
    upload_life_seconds: float = 24 * 3600.0
    """How long a `runway://` URI works."""
    render_scale: float = 1.0
    """Output pixels per asked pixel, per side, of pictures and videos; 0.25 makes rendering cheap for load tests.

    At 1, half a minute of 4K in a professional format may take longer than the five minutes that an output may take.
    """
    strict: bool = True
    """Refuse unknown body fields everywhere, also on the models that are not declared strict."""
    show_cancelled: bool = False
    """Answer CANCELLED for a task cancelled by DELETE, where the real service answers 404."""
    body_max_bytes: int = 10 * 1024 * 1024
    asset_hosts: tuple[str, ...] = ()
    """`host:port` of asset servers that may be named by plain http, by address and without DNS."""
    asset_timeout_seconds: float = 10.0
    """Real seconds that an asset server has to answer."""

    def __post_init__(self) -> None:
        faults = [f"{name} must not be negative" for name in _not_negative if getattr(self, name) < 0]
        numbers = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.type in ("float", "int", float, int)
        }
        faults += [f"{name} must be at most {_MOST}" for name, value in numbers.items() if not value <= _MOST]
        if self.task_sigma > 10:
            faults.append("task_sigma must be at most 10")
        if self.progress not in get_args(Progress):
            faults.append("progress must be one of " + ", ".join(get_args(Progress)))
        if not 0.01 <= self.render_scale <= 1:
            faults.append("render_scale must lie between 0.01 and 1")
        if self.progress_every_seconds <= 0:
            faults.append("progress_every_seconds must be positive")
        if self.task_mean_seconds <= 0:
            faults.append("task_mean_seconds must be positive")
        if faults:
            raise ValueError("; ".join(faults))

    def changed(self, changes: dict[str, object]) -> "Settings":
        """Returns these settings with `changes`. Raises a ValueError that lists every unknown or ill-typed one."""
        faults: list[str] = []
        values: dict[str, object] = {}
        kinds = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        for name, value in changes.items():
            kind = kinds.get(name)
            if kind is None:
                faults.append(f"unknown setting {name}; known: {', '.join(kinds)}")
            elif kind is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
                values[name] = tuple(value)
            elif kind is float and (number := finite(value)) is not None:
                values[name] = number
            elif type(value) is kind and kind is not tuple:
                values[name] = value
            else:
                faults.append(f"{name} must be a {'list of strings' if kind is tuple else kind.__name__}")
        if faults:
            raise ValueError("; ".join(faults))
        return replace(self, **values)  # type: ignore[arg-type] # each value was matched to its field's type above


_MOST = 10**9
"""The bound of every number; in seconds, some thirty years."""

_not_negative = (
    "task_sigma",
    "pending_seconds",
    "preparing_seconds",
    "url_life_seconds",
    "upload_life_seconds",
    "body_max_bytes",
    "asset_timeout_seconds",
)
