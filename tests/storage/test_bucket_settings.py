"""The settings of an object store's client, for each way to set them in URL, options and environment. Sends nothing."""

from collections.abc import Mapping
from types import ModuleType

import pytest

from evergreen_storage import Json
from evergreen_storage.engines.buckets import az, gs, s3

KEY = "a2V5"
KEYS: Mapping[str, Json] = {"key": "k", "secret": "s"}
MINE: Mapping[str, Json] = {"account_name": "acct", "account_key": KEY}


@pytest.mark.parametrize(
    ("engine", "url", "options", "environ", "told"),
    [
        (az, "abfs://c@acct.dfs.core.windows.net/p", {"credential": KEY}, {}, {"account_name": "acct", "prefix": "p/"}),
        (az, "abfss://c@acct.blob.core.windows.net", {"credential": KEY}, {}, {"account_name": "acct", "prefix": ""}),
        (az, "az://c@acct.dfs.core.windows.net", {**MINE, "account_name": "own"}, {}, {"account_name": "own"}),
        (az, "az://c", {**MINE, "account_host": "host.test"}, {}, {"endpoint": "https://host.test"}),
        (az, "az://c", {**MINE, "account_host": "http://host.test"}, {}, {"endpoint": "http://host.test"}),
        (
            az,
            "az://c",
            {**MINE, "account_host": "host.test", "endpoint_url": "https://other.test"},
            {},
            {"endpoint": "https://other.test"},
        ),
        (
            az,
            "az://c",
            {"connection_string": f"AccountName=acct;AccountKey={KEY};EndpointSuffix=core.test"},
            {},
            {"endpoint": "https://acct.blob.core.test"},
        ),
        (
            az,
            "az://c",
            {},
            {
                "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName=acct;AccountKey={KEY};"
                "EndpointSuffix=core.test; "
            },
            {"endpoint": "http://acct.blob.core.test", "allow_http": "true"},
        ),
        (
            az,
            "az://c",
            {"account_name": "acct", "sas_token": "sig=x"},
            {"AZURE_STORAGE_KEY": KEY},
            {"account_key": None, "signs": False},
        ),
        (az, "az://c", {"account_name": "acct", "anon": "yes"}, {}, {"skip_signature": "true", "signs": False}),
        (az, "az://c", {"account_name": "acct", "anon": "off", **MINE}, {}, {"skip_signature": "false", "signs": True}),
        (s3, "s3://b", {**KEYS, "endpoint_url": "host.test:9000"}, {}, {"endpoint": "https://host.test:9000"}),
        (
            s3,
            "s3://b",
            {**KEYS, "endpoint_url": "host.test:9000", "use_ssl": "false"},
            {},
            {"endpoint": "http://host.test:9000", "allow_http": "true", "unsigned_payload": "false"},
        ),
        (
            s3,
            "s3://b/p",
            {**KEYS, "endpoint_url": "https://host.test", "config_kwargs": {"s3": {"addressing_style": "virtual"}}},
            {},
            {"endpoint": "https://b.host.test", "prefix": "p/", "unsigned_payload": "true"},
        ),
        (s3, "s3://b", {**KEYS, "client_kwargs": {"verify": False}}, {}, {"allow_invalid_certificates": "true"}),
        (s3, "s3://b", KEYS, {}, {"allow_invalid_certificates": None, "region": "us-east-1"}),
        (gs, "gs://b", {}, {"STORAGE_EMULATOR_HOST": "host.test:4443"}, {"base_url": "http://host.test:4443"}),
        (gs, "gs://b", {"endpoint_url": "http://host.test/"}, {}, {"base_url": "http://host.test", "signs": False}),
        (gs, "gs://b", {"project": "mine", "consistency": "none", "anon": True}, {}, {"skip_signature": "true"}),
    ],
)
def test_a_client_is_told_what_was_meant(
    engine: ModuleType,
    url: str,
    options: Mapping[str, Json],
    environ: Mapping[str, str],
    told: Mapping[str, object],
) -> None:
    bucket = engine.open_bucket(url, options, environ)

    config = {**(bucket.store.config or {}), **(bucket.store.client_options or {})}
    found = {**config, "prefix": bucket.prefix, "signs": bucket.signs}
    assert {name: found.get(name) for name in told} == told
