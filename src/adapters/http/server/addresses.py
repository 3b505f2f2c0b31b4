"""The addresses of both ends of a connection, as ASGI has them."""

import asyncio
from typing import Any


def addresses_of(transport: asyncio.BaseTransport) -> dict[str, Any]:
    """What every scope of a connection begins with; an address of None = it is not known."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "scheme": "http",
        "root_path": "",
        "client": _address(transport.get_extra_info("peername")),
        "server": _address(transport.get_extra_info("sockname")),
    }


def _address(name: Any) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
