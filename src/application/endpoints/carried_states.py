"""What is known of endpoints, carried over to the next configuration."""

from collections.abc import Mapping

from application.endpoints.endpoint_state import EndpointState


def carried_states(
    fresh: Mapping[str, EndpointState], earlier: Mapping[str, EndpointState]
) -> Mapping[str, EndpointState]:
    """By endpoint id, of those in `fresh`: what was known of the endpoint of the same identity, whatever its id, its
    weight and its place in the file were; else the fresh state. Changes neither."""
    by_identity: dict[str, dict[str, EndpointState]] = {}
    for name, state in earlier.items():
        if state.endpoint.identity:
            by_identity.setdefault(state.endpoint.identity, {})[name] = state
    carried = dict(fresh)
    # Of several with one identity, as in two groups, each keeps what was known of it under the same id.
    for name, state in fresh.items():
        same = by_identity.get(state.endpoint.identity, {})
        if name in same:
            carried[name] = same.pop(name)
    for name, state in fresh.items():
        same = by_identity.get(state.endpoint.identity, {})
        if carried[name] is state and same:
            carried[name] = same.pop(next(iter(same)))
    return carried
