"""Taking a flow piece by piece, as a client does that has room for one at a time."""

from application.answers import StreamedAnswer


async def next_piece(stream: StreamedAnswer) -> bytes:
    """The next piece; b"" = the stream is over."""
    got: list[bytes] = []

    def take(piece: bytes) -> bool:
        got.append(piece)
        return False

    await stream.flow(take)
    return b"".join(got)
