"""One request to the provider as an operator words it, for what no job and no call of the service uses."""

import re
from dataclasses import dataclass

import aiohttp
from yarl import URL

from evergreen_server.ports.provider import ProviderUnavailable
from evergreen_server.providers.runway.http import wire
from evergreen_server.providers.runway.http.exchange import NETWORK_ERRORS, cause_of, read_answer
from evergreen_server.providers.runway.http.proxies import Proxies

__all__ = ["RawAnswer", "call_once", "path_error"]

_PATH = re.compile(r"/v1(/(?!\.{1,2}(/|$|\?))[A-Za-z0-9._~:-]+)+(\?[A-Za-z0-9._~:/?&=%+,@-]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """What the provider answered, without the key; `whole` is False if that is not all of it."""

    status: int
    body: bytes
    whole: bool
    date: str = ""
    """The provider's clock, as its head tells it."""


def path_error(path: str) -> str | None:
    """Returns why a path is not one of the provider's API; None if it is."""
    if _PATH.fullmatch(path):
        return None
    return "must be a path of the provider's API, such as /v1/organization, with letters, digits and ._~:- in its parts"


async def call_once(
    method: str, path: str, body: bytes | None, *, base_url: str, api_key: str, proxies: Proxies, seconds: float
) -> RawAnswer:
    """Sends the request once, and never again. Raises ProviderUnavailable if there is no answer within `seconds`."""
    url = URL(f"{base_url.rstrip('/')}{path}", encoded=True)
    headers = {
        "Authorization": f"Bearer {api_key}",
        "X-Runway-Version": wire.API_VERSION,
        "Accept-Encoding": "identity",
        **({} if body is None else {"Content-Type": "application/json"}),
    }
    try:
        # A stale connection of an earlier request would be tried again by the HTTP library; there is none.
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
            session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
                proxy=proxies.of(url),
            ) as response,
        ):
            answer, date = await read_answer(response), response.headers.get("Date", "")
    except NETWORK_ERRORS as error:
        raise ProviderUnavailable(f"The provider gave no answer ({cause_of(error)}).") from error
    shown = answer.body.replace(api_key.encode(), b"[key]") if api_key else answer.body
    return RawAnswer(status=answer.status, body=shown, whole=answer.whole, date=date)
