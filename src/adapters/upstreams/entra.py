"""Microsoft Entra ID tokens through azure-identity's `DefaultAzureCredential`: the optional extra `azure`.

Every token is asked of a new credential. A credential keeps its tokens until five minutes before they expire
(azure-identity, `DEFAULT_REFRESH_OFFSET`), so that an old one would answer with the very token that was refused; a new
one also sees secrets, files and logins as they are now.
"""

import asyncio
import importlib
import logging
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from adapters.upstreams.outbound.proxies import OutboundProxies
from application.state.access_tokens import AccessToken, TokenUnavailable
from domain.secret import Secret

_ERROR_CODE = re.compile(r"AADSTS[0-9]{4,8}")
_ATTEMPTED = re.compile(r"^[ \t]*+(\w{1,60}Credential): ", re.MULTILINE)


class DefaultAzureTokens:
    """`FetchToken` by whatever `DefaultAzureCredential` finds: environment, workload identity, managed identity, az."""

    def __init__(
        self, ssl_context: ssl.SSLContext, *, outbound_proxy: str | None = None, trust_env: bool = False
    ) -> None:
        self._ssl_context = ssl_context
        self._proxies = OutboundProxies(outbound_proxy, trust_env=trust_env)

    async def __call__(self, scope: str) -> AccessToken:
        # What goes wrong is told by the alarm, once and in safe words.
        logging.getLogger("azure").setLevel(logging.CRITICAL)
        identity: Any = await asyncio.to_thread(importlib.import_module, "azure.identity.aio")
        transports: Any = importlib.import_module("azure.core.pipeline.transport")
        aiohttp: Any = importlib.import_module("aiohttp")  # nobody else may need it, and it takes memory
        connector = aiohttp.TCPConnector(ssl=self._ssl_context)
        proxy_for = self._proxy_for

        class Transport(transports.AioHttpTransport):  # type: ignore[misc] # loaded when it is needed
            async def send(self, request: Any, **options: Any) -> Any:
                return await super().send(request, **options, proxy=proxy_for(request.url))

        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        ) as session:
            transport = Transport(session=session, session_owner=False, use_env_settings=False)
            try:
                async with identity.DefaultAzureCredential(transport=transport) as credential:
                    token = await credential.get_token(scope)
            except Exception as error:
                # Not chained: what the library says may quote what it sent and got.
                raise TokenUnavailable(_words(error)) from None
        return AccessToken(Secret(token.token), float(token.expires_on))

    def _proxy_for(self, url: str) -> str | None:
        parts = urlsplit(url)
        # The metadata service of a managed identity is plain HTTP on the machine itself: no proxy reaches it.
        if parts.scheme != "https":
            return None
        proxy = self._proxies.between(None, is_tls=True, host=parts.hostname or "", port=parts.port or 443)
        return None if proxy is None else proxy.url


def _words(error: Exception) -> str:
    """The kind of error, Entra's code for it, and which credentials were tried: never the text."""
    text = str(error)
    codes = dict.fromkeys(_ERROR_CODE.findall(text))
    tried = dict.fromkeys(_ATTEMPTED.findall(text))
    words = " ".join((type(error).__name__, *codes))
    return f"{words}, tried {', '.join(tried)}" if tried else words
