"""Structured logs on stderr, of this program and of what writes there by itself."""

from evergreen_server.runtime.logs.lines import FactsFormatter, LineHandler, current_job, set_up_logs

__all__ = ["FactsFormatter", "LineHandler", "current_job", "set_up_logs"]
