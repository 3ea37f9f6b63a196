"""The `s3://BUCKET/PREFIX` engine: s3fs's option names and the AWS variables, for obstore.

Where neither options nor variables hold a key, botocore finds the credentials: in profiles, by single sign-on, of a
container's or machine's role. Where that is not installed, obstore finds what it can by itself.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from obstore.store import S3Store

from evergreen_storage.engines.buckets.bucket import (
    Bucket,
    client_options,
    config_of,
    is_confidential,
    retry_options,
    split_bucket,
)
from evergreen_storage.options import (
    Table,
    Value,
    count,
    flag,
    from_environment,
    number,
    one_of,
    text,
    translate,
)
from evergreen_storage.storage import Json, Unsupported

if TYPE_CHECKING:
    from obstore.store import S3Config

    from evergreen_storage.engines.buckets.aws import AwsCredentials

_CLIENT: Final[Table] = {
    "aws_access_key_id": ("access_key_id", text),
    "aws_secret_access_key": ("secret_access_key", text),
    "aws_session_token": ("session_token", text),
    "endpoint_url": ("endpoint", text),
    "region_name": ("region", text),
    "use_ssl": ("tls", flag),
    "verify": ("verify", flag),
}
_CONFIG: Final[Table] = {
    "connect_timeout": ("connect_timeout", number),
    "read_timeout": ("read_timeout", number),
    "region_name": ("region", text),
    "retries": {"max_attempts": ("max_retries", count), "total_max_attempts": None, "mode": None},
    "s3": {"addressing_style": ("virtual_hosted_style_request", one_of({"path": False, "virtual": True}))},
    "signature_version": None,
}
TABLE: Final[Table] = {
    "anon": ("skip_signature", flag),
    "client_kwargs": _CLIENT,
    "config_kwargs": _CONFIG,
    "connect_timeout": ("connect_timeout", number),
    "endpoint_url": ("endpoint", text),
    "key": ("access_key_id", text),
    "password": ("secret_access_key", text),
    "read_timeout": ("read_timeout", number),
    "region": ("region", text),
    "requester_pays": ("request_payer", flag),
    "s3_additional_kwargs": {
        "SSEKMSKeyId": ("sse_kms_key_id", text),
        "ServerSideEncryption": ("server_side_encryption", text),
    },
    "secret": ("secret_access_key", text),
    "token": ("session_token", text),
    "use_ssl": ("tls", flag),
    "username": ("access_key_id", text),
}
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_ENDPOINT_URL_S3": "endpoint",
    "AWS_ENDPOINT_URL": "endpoint",
    "AWS_REGION": "region",
    "AWS_DEFAULT_REGION": "region",
    "AWS_ROLE_ARN": "role_arn",
    "AWS_ROLE_SESSION_NAME": "role_session_name",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "web_identity_token_file",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "container_credentials_relative_uri",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "container_credentials_full_uri",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "container_authorization_token_file",
}


_ROLES: Final = tuple(name for name in ENVIRONMENT.values() if name.startswith(("role_", "web_", "container_")))


def open_bucket(url: str, options: Mapping[str, Json], environ: Mapping[str, str]) -> Bucket:
    """Creates the client of a bucket; nothing is sent yet. Raises Unsupported."""
    name, prefix = split_bucket(url)
    given = translate("s3", TABLE, options)
    found = from_environment(ENVIRONMENT, environ)
    if {"access_key_id", "secret_access_key", "session_token"} & given.keys():
        # A key of one origin with the secret or session of another would be refused by the server.
        for part in ("access_key_id", "secret_access_key", "session_token"):
            found.pop(part, None)
    settings: dict[str, Value] = found | given
    credentials = None
    if not {"access_key_id", "secret_access_key", "skip_signature"} & settings.keys():
        credentials = _credentials(environ)
    if credentials is not None:
        for part in _ROLES:
            settings.pop(part, None)
        settings = {**credentials.settings, **settings}
    settings.setdefault("region", "us-east-1")
    if ("access_key_id" in settings) != ("secret_access_key" in settings):
        raise Unsupported("s3:// storage needs both parts of the credentials, key and secret, or neither")
    tls = settings.pop("tls", True)
    endpoint = settings.get("endpoint")
    if isinstance(endpoint, str) and "://" not in endpoint:
        endpoint = f"{'https' if tls else 'http'}://{endpoint}"
        settings["endpoint"] = endpoint
    if endpoint is None and not tls:
        raise Unsupported("s3:// storage without TLS needs an endpoint_url")
    if settings.get("virtual_hosted_style_request") and isinstance(endpoint, str):
        scheme, _, host = endpoint.partition("://")
        settings["endpoint"] = f"{scheme}://{name}.{host}"
    # Hashing each body for its signature costs more than all the rest of an upload. TLS protects the body as well.
    settings["unsigned_payload"] = is_confidential(str(endpoint or "https://"))
    # One request per object, which every server that speaks S3 knows.
    settings["disable_bulk_delete"] = True
    client, retry = client_options(settings, endpoint=str(endpoint or "https://")), retry_options(settings)
    signs = not settings.get("skip_signature")
    config = cast("S3Config", settings)  # as the tables say
    store = config_of(
        "s3",
        lambda: S3Store(
            name, config=config, client_options=client, retry_config=retry, credential_provider=credentials
        ),
    )
    return Bucket(store=store, prefix=prefix, token="e_tag", signs=signs, seeks=True)


def _credentials(environ: Mapping[str, str]) -> "AwsCredentials | None":
    try:
        # Only now, because botocore comes with an extra, and is slow to load.
        from evergreen_storage.engines.buckets.aws import AwsCredentials
    except ModuleNotFoundError as exc:
        if environ.get("AWS_PROFILE"):
            raise Unsupported("AWS_PROFILE needs the package botocore: pip install 'evergreen-video[s3]'") from exc
        return None
    return AwsCredentials.find(environ)
