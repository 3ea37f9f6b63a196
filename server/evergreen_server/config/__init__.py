"""The settings: read once, judged whole."""

from evergreen_server.config.settings import Config, ConfigError

__all__ = ["Config", "ConfigError"]
