"""The body of an error as the OpenAI SDKs read it."""

import msgspec

from application.errors import ProxyError


def error_body(error: ProxyError) -> bytes:
    """The body of an error reply."""
    return msgspec.json.encode(
        {"error": {"message": str(error), "type": error.type, "param": error.param, "code": error.code}}
    )
