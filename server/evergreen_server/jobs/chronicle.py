"""Logs what this server has committed: each transition of a job or a film in one line, and once."""

import logging
from collections.abc import Sequence

from evergreen_server.jobs.model.change import Change

logger = logging.getLogger(__name__)


def log_changes(changes: Sequence[Change]) -> None:
    """Logs the lines of committed changes; to be subscribed to those of this server alone."""
    for change in changes:
        for line in change.lines:
            logger.log(logging.WARNING if line.warns else logging.INFO, line.event, extra=dict(line.facts))
