"""TLS sessions that are taken up again (RFC 8446 section 2.2): a new connection to a known server costs less.

asyncio leaves no place for a session, but it makes its TLS objects through the context (`SSLContext.sslobject_class`),
and an object takes a session up to the moment its handshake begins. Sessions are kept by the name the certificate was
checked for, and only for connections of the same context.
"""

import ssl
from typing import Any

_MOST = 256
"""Names."""


class TlsSessions:
    """The last session of each name."""

    def __init__(self, context: ssl.SSLContext) -> None:
        sessions: dict[str, ssl.SSLSession] = {}
        self._sessions = sessions

        class Resuming(ssl.SSLObject):
            has_begun = False

            def do_handshake(self) -> None:
                if not self.has_begun:
                    self.has_begun = True
                    known = sessions.get(self.server_hostname or "")
                    if known is not None:
                        self.session = known
                super().do_handshake()

        context.sslobject_class = Resuming

    def keep(self, tls: Any) -> None:
        """Keep what a connection has, an `ssl.SSLObject`, for the next one; tickets come with the first reply."""
        name = getattr(tls, "server_hostname", None)
        session = getattr(tls, "session", None)
        if (
            name
            and session is not None
            and session.has_ticket
            and (name in self._sessions or len(self._sessions) < _MOST)
        ):
            self._sessions[name] = session
