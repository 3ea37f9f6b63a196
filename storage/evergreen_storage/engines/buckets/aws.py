"""Finds AWS credentials as Amazon's own tools do: profiles, single sign-on, roles of containers and machines.

botocore looks for them and renews them. Blocking, since it reads files and asks services.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import botocore.session
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

from evergreen_storage.storage import Unavailable, Unsupported

if TYPE_CHECKING:
    from obstore.store import S3Credential

# As long as they may be used before botocore is asked again, which renews its own in time.
_TTL: Final = timedelta(minutes=5)
_VARIABLES: Final = {"AWS_CONFIG_FILE": "config_file", "AWS_SHARED_CREDENTIALS_FILE": "credentials_file"}


class AwsCredentials:
    """Passes the credentials that botocore found to obstore. `settings` are those of the profile: region, endpoint."""

    def __init__(self, credentials: Credentials, settings: Mapping[str, str]) -> None:
        self._credentials = credentials
        self.settings = settings

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> "AwsCredentials":
        """Finds credentials, and checks that they can be obtained.

        Raises Unsupported for a profile that does not exist, and Unavailable where there are none.
        """
        profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
        session = botocore.session.Session(profile=profile)
        for variable, name in _VARIABLES.items():
            if environ.get(variable):
                session.set_config_variable(name, environ[variable])
        try:
            profiles = session.available_profiles
            if profile and profile not in profiles:
                raise Unsupported(
                    f"AWS_PROFILE names {profile!r}, which AWS's config and credentials files do not have"
                )
            credentials = session.get_credentials()
            if credentials is None:
                raise Unavailable(_none(profile))
            credentials.get_frozen_credentials()
            scoped = session.get_scoped_config()
        except (BotoCoreError, ClientError) as exc:
            raise Unavailable(_refused(profile, exc)) from None
        settings = {name: scoped.get(given) for name, given in (("region", "region"), ("endpoint", "endpoint_url"))}
        return cls(credentials, {name: value for name, value in settings.items() if isinstance(value, str)})

    def __call__(self) -> "S3Credential":
        """Returns the current credentials."""
        frozen = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _TTL,
        }


def _none(profile: str | None) -> str:
    return (
        "no AWS credentials were found: there is no key and secret in the options of the storage, no AWS_ACCESS_KEY_ID "
        f"and AWS_SECRET_ACCESS_KEY, none in {_profile(profile)} of AWS's config and credentials files (AWS_PROFILE), "
        "no web identity (AWS_WEB_IDENTITY_TOKEN_FILE), and no role of the container or machine; "
        "for a bucket that asks for none, set the option anon"
    )


def _refused(profile: str | None, exc: Exception) -> str:
    # These texts hold no secret: they say what to do, such as to sign in again.
    return f"the AWS credentials of {_profile(profile)} cannot be had: {type(exc).__name__}: {str(exc)[:300]}"


def _profile(profile: str | None) -> str:
    return f"the profile {profile!r}" if profile else "the profile 'default'"
