"""The `gs://BUCKET/PREFIX` engine: gcsfs's option names and the Google variables, for obstore.

obstore itself also reads the Google variables of the process, below all that is given here. Credentials of a machine's
account are found by it alone.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from obstore.store import GCSStore

from evergreen_storage.engines.buckets.bucket import Bucket, client_options, config_of, retry_options, split_bucket
from evergreen_storage.options import Table, Value, count, flag, from_environment, number, text, translate
from evergreen_storage.storage import Json

if TYPE_CHECKING:
    from obstore.store import GCSConfig

_ANONYMOUS: Final = "anon"
# How gcsfs is asked to look for credentials where Google's own tools do, which is the default here.
_DEFAULTS: Final = frozenset({"google_default", "cloud", "cache"})


def _token(value: Json) -> Value:
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        return json.dumps(value)
    if isinstance(value, str) and value:
        return value
    raise ValueError("must be anon, the path of a JSON file with credentials, or such credentials themselves")


TABLE: Final[Table] = {
    "connect_timeout": ("connect_timeout", number),
    "consistency": None,
    "endpoint_url": ("base_url", text),
    "project": None,
    "read_timeout": ("read_timeout", number),
    "retries": ("max_retries", count),
    "timeout": ("read_timeout", number),
    "token": ("token", _token),
    "anon": ("skip_signature", flag),
}
ENVIRONMENT: Final = {
    "GOOGLE_APPLICATION_CREDENTIALS": "application_credentials",
    "GOOGLE_SERVICE_ACCOUNT": "service_account",
    "GOOGLE_SERVICE_ACCOUNT_PATH": "service_account",
    "GOOGLE_SERVICE_ACCOUNT_KEY": "service_account_key",
    "STORAGE_EMULATOR_HOST": "base_url",
}
_CREDENTIALS: Final = ("application_credentials", "service_account", "service_account_key", "skip_signature")


def open_bucket(url: str, options: Mapping[str, Json], environ: Mapping[str, str]) -> Bucket:
    """Creates the client of a bucket; nothing is sent yet. Raises Unsupported."""
    name, prefix = split_bucket(url)
    given = translate("gs", TABLE, options)
    token = given.pop("token", None)
    if token == _ANONYMOUS:
        given["skip_signature"] = True
    elif isinstance(token, str) and token not in _DEFAULTS:
        given["service_account_key" if token.startswith("{") else "application_credentials"] = token
    settings: dict[str, Value] = from_environment(ENVIRONMENT, environ)
    if any(name in given for name in _CREDENTIALS):
        for credential in _CREDENTIALS:
            settings.pop(credential, None)
    settings |= given
    base = settings.get("base_url")
    if isinstance(base, str):
        base = base if "://" in base else f"http://{base}"
        settings["base_url"] = base.rstrip("/")
        if not any(name in settings for name in _CREDENTIALS):
            # An emulator needs no credentials, and Google's must not be sent to it.
            settings["skip_signature"] = True
        if settings.pop("skip_signature", False):
            # obstore asks Google for a token before it writes, even where it must not sign.
            settings["bearer_token"] = "anonymous"
    client = client_options(settings, endpoint=str(base or "https://"))
    retry = retry_options(settings)
    signs = not {"skip_signature", "bearer_token"} & settings.keys()
    config = cast("GCSConfig", settings)  # as the tables say
    store = config_of("gs", lambda: GCSStore(name, config=config, client_options=client, retry_config=retry))
    # Google compares generations, not ETags.
    return Bucket(store=store, prefix=prefix, token="version", signs=signs, seeks=True)
