"""What a second, stricter parser (h11) makes of the same bytes."""

import re

import h11


def requests_by_h11(sent: bytes) -> list[tuple[bytes, bytes, bytes]] | None:
    """Method, target and body of each request; None = it refuses them, or they are not whole.

    A target `*` is the path `/*` here, as in the scope of an ASGI application.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=10**6)
    seen: list[tuple[bytes, bytes, bytes]] = []
    connection.receive_data(sent)
    method = target = body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                method, target, body = event.method, b"/*" if event.target == b"*" else event.target, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                seen.append((method, target, body))
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return seen
                connection.start_next_cycle()
            else:
                return seen if event is h11.NEED_DATA and not connection.trailing_data[0] else None
    except h11.RemoteProtocolError:
        return None


def reply_by_h11(method: str, sent: bytes) -> tuple[int, bytes] | None:
    """The status and body of the one reply that `sent` is; None = it is no whole reply, or not only one.

    llhttp skips line breaks before a status line and does not look at the reason behind the status; neither can hide
    anything, but h11 refuses the one and control characters in the other. A length of more than 20 digits h11 refuses,
    though all but the last ones be zeros.
    """
    sent = re.sub(rb"(?i)(\r\ncontent-length:[ \t]*)0+(?=\d)", rb"\1", sent)
    plain = re.sub(rb"(^|\r\n\r\n)[\r\n]+HTTP/", rb"\1HTTP/", sent)
    return _reply(method, sent) or _reply(method, re.sub(rb"(HTTP/1\.[01] \d{3})[^\r\n]*", rb"\1", plain))


def _reply(method: str, sent: bytes) -> tuple[int, bytes] | None:
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method=method, target="/", headers=[("host", "h"), ("content-length", "0")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(sent)
    status, body, is_old = 0, b"", False
    try:
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Response):
                status, is_old = event.status_code, event.http_version == b"1.0"
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                # h11 knows no HTTP/1.0 connection that is kept alive.
                is_open = parser.their_state is h11.DONE or is_old
                return (status, body) if is_open and not parser.trailing_data[0] else None
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None
