"""What is known of a request when an endpoint is sought for it."""

from msgspec import Struct

from domain.rate_limit.token_estimate import Demand


class RouteQuery(Struct, frozen=True, gc=False):
    """Made once for each request, and given to everything that looks for an endpoint or room."""

    demand: Demand
    client: str = ""  # whose rate limit it is charged to, where clients bring their own keys
    affinity: str = ""  # the key that binds it to one endpoint, in groups that have affinity; empty = none does
    use: str = ""  # the API it is asked for
    is_beside: bool = False  # is it for something that says little of what the endpoint is there for?
    body: bytes = b""  # tells one request from another

    @property
    def size(self) -> int:
        """What the request holds in memory, in bytes."""
        return len(self.body)
