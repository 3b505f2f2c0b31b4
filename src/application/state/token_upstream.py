"""The `Upstream` port for endpoints whose credential is a token that expires: puts it in, and renews it after a 401."""

from collections.abc import Callable

from msgspec import structs

from application.messages import Pieces, Upload, UpstreamCall
from application.ports import Upstream, UpstreamReply
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

    def with_token(self, token: Secret, body: bytes | Pieces | Upload) -> UpstreamCall:
        """The call as it goes on the wire."""
        headers = (*self.headers, ("authorization", f"Bearer {token.reveal()}"))
        same = {name: getattr(self, name) for name in UpstreamCall.__struct_fields__}
        return UpstreamCall(**same | {"headers": headers, "body": body})

    @property
    def patience_s(self) -> float:
        """How long it may wait for a token: the endpoint must not be blamed for it as being slow."""
        return self.first_byte_timeout_s / 2


class TokenUpstream:
    """Any `Upstream`, with tokens. Calls that are no `TokenCall` pass through."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """See `Upstream.send`; raises NO_CREDENTIAL as well. A 401 is answered once, with another token,
        unless an upload is spent: then the next call has it."""
        if not isinstance(call, TokenCall):
            return await self._upstream.send(call)
        source = call.source
        token = source.current or await source.token(call.patience_s)
        reply = await self._upstream.send(call.with_token(token, call.body))
        if reply.status != 401:
            return reply
        try:
            other = await source.other_than(token, call.patience_s)
        except BaseException:
            reply.close()
            raise
        body = None if other is None else call.body_again()
        if other is None or body is None:
            return reply
        reply.close()
        return await self._upstream.send(call.with_token(other, body))

    async def close(self) -> None:
        """See `Upstream.close`."""
        await self._upstream.close()
