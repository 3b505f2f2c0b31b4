"""What import-linter cannot see of the layers: parts of packages, and numbers."""

import ast
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

import domain
from adapters.http.server.error_body import status_of
from application.errors import ProxyError, UpstreamsFailed
from domain.failure import Failure, FailureKind

ROOT = Path(domain.__file__).parent.parent
DOMAIN = sorted((ROOT / "domain").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_domain_takes_structs_from_msgspec_and_no_encoding(path: Path) -> None:
    taken = {name for name in imported(path) if name.split(".")[0] == "msgspec"}

    assert {name.split(".")[1:2] == ["structs"] or name in {"msgspec.Struct", "msgspec.field"} for name in taken} <= {
        True
    }


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_domain_knows_no_status_of_http(path: Path) -> None:
    values = [node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)]

    assert not {value for value in values if isinstance(value, int)} & set(map(int, HTTPStatus))


def test_an_error_of_the_application_has_no_status_of_its_own() -> None:
    told = [ProxyError]
    for kind in told:
        told += kind.__subclasses__()

    assert len(told) >= 10
    assert not [kind for kind in told if hasattr(kind, "status")]


@pytest.mark.parametrize("kind", FailureKind)
def test_a_provider_that_fails_is_told_as_a_fault_of_the_server_and_as_slow_where_it_is(kind: FailureKind) -> None:
    status = status_of(UpstreamsFailed("gpt", Failure(kind), (), spent=True))

    slow = ("_timeout", "deadline_exceeded", "slow_for_client")
    assert (status == 504) == kind.value.endswith(slow)
    assert status in (502, 503, 504)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "application").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_what_ends_by_time_in_the_application_ends_by_the_clock_that_it_is_given(path: Path) -> None:
    source = path.read_text(encoding="utf-8")

    assert not [
        call for call in ("asyncio.timeout", "asyncio.wait_for", ".call_later(", "time.time(") if call in source
    ]
