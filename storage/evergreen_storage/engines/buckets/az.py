"""The `az://CONTAINER/PREFIX` engine: adlfs's option names and the Azure variables, for obstore.

obstore itself also reads the Azure variables of the process, below all that is given here. Credentials of a machine's
identity are found by it alone. `abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX` is understood as well.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from obstore.store import AzureStore

from evergreen_storage.engines.buckets.bucket import Bucket, client_options, config_of, retry_options, split_bucket
from evergreen_storage.options import Table, Value, count, flag, from_environment, number, text, translate
from evergreen_storage.storage import Json, Unsupported

if TYPE_CHECKING:
    from obstore.store import AzureConfig

TABLE: Final[Table] = {
    "account_host": ("account_host", text),
    "account_key": ("account_key", text),
    "account_name": ("account_name", text),
    "anon": ("skip_signature", flag),
    "client_id": ("client_id", text),
    "client_secret": ("client_secret", text),
    "connect_timeout": ("connect_timeout", number),
    "connection_string": ("connection_string", text),
    "connection_timeout": ("connect_timeout", number),
    "credential": ("account_key", text),
    "endpoint_url": ("endpoint", text),
    "read_timeout": ("read_timeout", number),
    "retries": ("max_retries", count),
    "sas_token": ("sas_key", text),
    "tenant_id": ("tenant_id", text),
}
ENVIRONMENT: Final = {
    "AZURE_STORAGE_CONNECTION_STRING": "connection_string",
    "AZURE_STORAGE_ACCOUNT_NAME": "account_name",
    "AZURE_STORAGE_ACCOUNT": "account_name",
    "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
    "AZURE_STORAGE_KEY": "account_key",
    "AZURE_STORAGE_SAS_TOKEN": "sas_key",
    "AZURE_STORAGE_CLIENT_ID": "client_id",
    "AZURE_STORAGE_CLIENT_SECRET": "client_secret",
    "AZURE_STORAGE_TENANT_ID": "tenant_id",
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_CLIENT_SECRET": "client_secret",
    "AZURE_TENANT_ID": "tenant_id",
    "AZURE_FEDERATED_TOKEN_FILE": "federated_token_file",
}
_CREDENTIALS: Final = (
    "account_key",
    "client_id",
    "client_secret",
    "connection_string",
    "federated_token_file",
    "sas_key",
    "skip_signature",
    "tenant_id",
)
_CONNECTION: Final = {
    "accountname": "account_name",
    "accountkey": "account_key",
    "blobendpoint": "endpoint",
    "sharedaccesssignature": "sas_key",
}


def open_bucket(url: str, options: Mapping[str, Json], environ: Mapping[str, str]) -> Bucket:
    """Creates the client of a container; nothing is sent yet. Raises Unsupported."""
    given = translate("az", TABLE, options)
    url, account = _without_account(url)
    if account:
        given.setdefault("account_name", account)
    name, prefix = split_bucket(url)
    settings: dict[str, Value] = from_environment(ENVIRONMENT, environ)
    if any(credential in given for credential in _CREDENTIALS):
        for credential in _CREDENTIALS:
            settings.pop(credential, None)
    settings |= given
    connection = settings.pop("connection_string", None)
    if isinstance(connection, str):
        settings = _connection(connection) | settings
    host = settings.pop("account_host", None)
    if isinstance(host, str):
        settings.setdefault("endpoint", host if "://" in host else f"https://{host}")
    if not settings.get("account_name"):
        raise Unsupported("az:// storage needs account_name, connection_string or AZURE_STORAGE_ACCOUNT_NAME")
    endpoint = str(settings.get("endpoint", "https://"))
    client, retry = client_options(settings, endpoint=endpoint), retry_options(settings)
    # With a shared signature instead of a key there is nothing to sign with.
    signs = not settings.get("skip_signature") and "sas_key" not in settings
    config = cast("AzureConfig", settings)  # as the tables say
    store = config_of("az", lambda: AzureStore(name, config=config, client_options=client, retry_config=retry))
    return Bucket(store=store, prefix=prefix, token="e_tag", signs=signs, seeks=False)


def _without_account(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    container, at, host = parts.netloc.partition("@")
    if at and ":" not in container and host.endswith((".dfs.core.windows.net", ".blob.core.windows.net")):
        return parts._replace(netloc=container).geturl(), host.partition(".")[0]
    return url, ""


def _connection(text: str) -> dict[str, Value]:
    parts = dict(part.strip().partition("=")[::2] for part in text.split(";") if part.strip())
    lowered = {name.lower(): value for name, value in parts.items()}
    settings: dict[str, Value] = {_CONNECTION[name]: value for name, value in lowered.items() if name in _CONNECTION}
    if "account_name" not in settings:
        raise Unsupported("az:// storage: connection_string has no AccountName")
    if "endpoint" not in settings and "endpointsuffix" in lowered:
        protocol = lowered.get("defaultendpointsprotocol", "https")
        settings["endpoint"] = f"{protocol}://{settings['account_name']}.blob.{lowered['endpointsuffix']}"
    return settings
