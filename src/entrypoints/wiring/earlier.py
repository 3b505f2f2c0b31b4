"""What a configuration is given of the one that it replaces."""

from collections.abc import Mapping

from msgspec import Struct

from application.endpoints.endpoint_state import EndpointState
from application.endpoints.ledger import Ledger
from application.state.access_tokens import TokenSource


class Earlier(Struct, frozen=True):
    """Empty = there was none."""

    states: Mapping[str, EndpointState] = {}
    """By endpoint id."""
    ledger: Ledger | None = None
    tokens: Mapping[str, TokenSource] = {}
    """By scope."""
