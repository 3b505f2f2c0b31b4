"""The `Upstream` port for endpoints whose credential is a token that expires: puts it in, and renews it after a 401."""

from collections.abc import Callable

from msgspec import structs

from application.messages import Pieces, Upload, UpstreamCall
from application.ports import Clock, Upstream, UpstreamReply
from application.state.access_tokens import TokenSource
from domain.secret import Secret


class TokenCall(UpstreamCall, frozen=True, kw_only=True):
    """A call that is complete but for the token, which is put in when it is sent."""

    source: TokenSource
    body_again: Callable[[], bytes | Pieces | Upload | None]

    @classmethod
    def of(
        cls, call: UpstreamCall, source: TokenSource, body_again: Callable[[], bytes | Pieces | Upload | None]
    ) -> "TokenCall":
        """The call, with a token from `source`. `body_again` gives its body for a second run, None = it is spent."""
        return cls(*structs.astuple(call), source=source, body_again=body_again)

    def with_token(self, token: Secret, body: bytes | Pieces | Upload, first_byte_s: float) -> UpstreamCall:
        """The call as it goes on the wire, with so many seconds left until the reply's headers are due."""
        headers = (*self.headers, ("authorization", f"Bearer {token.reveal()}"))
        same = {name: getattr(self, name) for name in UpstreamCall.__struct_fields__}
        return UpstreamCall(**same | {"headers": headers, "body": body, "first_byte_timeout_s": first_byte_s})


class TokenUpstream:
    """Any `Upstream`, with tokens. Calls that are no `TokenCall` pass through.

    A call's `first_byte_timeout_s` is for all that is done for it. No more than half of what is left may go into the
    wait for a token: the endpoint must not be blamed for it as being slow.
    """

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """As `Upstream.send`, and NO_CREDENTIAL. A 401 is tried once with another token, unless an upload is spent."""
        if not isinstance(call, TokenCall):
            return await self._upstream.send(call)
        source, now = call.source, self._clock.now
        until = now() + call.first_byte_timeout_s
        token = source.current or await source.token(call.first_byte_timeout_s / 2)
        reply = await self._upstream.send(call.with_token(token, call.body, until - now()))
        if reply.status != 401:
            return reply
        try:
            other = await source.other_than(token, (until - now()) / 2)
        except BaseException:
            reply.close()
            raise
        body = None if other is None else call.body_again()
        if other is None or body is None:
            return reply
        reply.close()
        return await self._upstream.send(call.with_token(other, body, until - now()))

    async def close(self) -> None:
        await self._upstream.close()
