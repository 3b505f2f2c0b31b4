"""What a check found, for people and for machines."""

from collections.abc import Sequence
from typing import Any, TextIO

import msgspec
from msgspec import Struct, structs

from entrypoints.check.ping.answers import Answer
from entrypoints.check.routes import Route
from entrypoints.cli.tables import print_columns
from entrypoints.config.reading.mistakes import Mistake

_HEADERS = (
    "group",
    "endpoint",
    "provider",
    "host",
    "model",
    "weight",
    "share",
    "tier",
    "limits",
    "price",
    "time-outs",
    "key",
)
_SERVES = {True: "serves", False: "does not serve", None: "unclear"}


class Found(Struct, frozen=True):
    """The result of one check. No secret is in it."""

    file: str
    mistakes: Sequence[Mistake] = ()
    warnings: Sequence[Mistake] = ()
    routes: Sequence[Route] = ()  # empty where there are mistakes
    answers: Sequence[Answer] | None = None  # one for each route; None = the endpoints were not asked


def as_json(found: Found) -> str:
    """One document: `file`, `valid`, `mistakes`, `warnings`, `routes`; each route that was asked has its `ping`."""
    routes = [structs.asdict(route) for route in found.routes]
    for route, answer in zip(routes, found.answers or (), strict=False):
        route["ping"] = structs.asdict(answer)
    document = {
        "file": found.file,
        "valid": not found.mistakes,
        "mistakes": [_told(mistake) for mistake in found.mistakes],
        "warnings": [_told(warning) for warning in found.warnings],
        "routes": routes,
    }
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def print_routes(found: Found, stream: TextIO) -> None:
    groups = len({route.group for route in found.routes})
    print(f"{found.file} is valid: {groups} group(s), {len(found.routes)} endpoint(s)", file=stream)
    print_columns("Routes", _HEADERS, [_row(route) for route in found.routes], stream)
    if found.answers is not None:
        rows = [_ping_row(route, answer) for route, answer in zip(found.routes, found.answers, strict=True)]
        print_columns("Answers", ("endpoint", "verdict", "what it said", "time in ms"), rows, stream)


def _told(mistake: Mistake) -> dict[str, Any]:
    told = structs.asdict(mistake)
    return {"setting" if name == "path" else name: value for name, value in told.items()}


def _row(route: Route) -> tuple[str, ...]:
    limits = (("rpm", route.rpm), ("tpm", route.tpm))
    return (
        route.group,
        route.endpoint,
        route.provider,
        route.host,
        route.model,
        str(route.weight),
        f"{route.share:.4g} %",
        route.tier,
        ", ".join(f"{name} {value}" for name, value in limits if value is not None),
        ", ".join(f"{name} {amount:.12g}" for name, amount in route.price.items()),
        ", ".join(f"{name.removesuffix('_timeout')} {value:g} s" for name, value in route.timeouts.items()),
        route.key,
    )


def _ping_row(route: Route, answer: Answer) -> tuple[str, ...]:
    times = ", ".join(f"{name} {value:.1f}" for name, value in answer.times_ms.items())
    return route.endpoint, _SERVES[answer.serves], answer.says, times
