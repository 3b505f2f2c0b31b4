"""The container composes, from every example, and the four packages are this repository's."""

import gc
import importlib
from logging import Logger
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from dependency_injector import providers

from application.attempts.traced_attempt import TracedAttempt
from entrypoints.banner import banner
from entrypoints.container import Container
from entrypoints.wiring.endpoints import targets
from entrypoints.wiring.groups import model_groups
from tests.unit.two_groups import TWO, settings_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", ["domain", "application", "adapters", "entrypoints"])
def test_the_packages_are_ours_and_not_those_of_the_same_name_elsewhere(package: str) -> None:
    module = importlib.import_module(package)

    assert Path(str(module.__file__)).is_relative_to(ROOT / "src")


def test_a_container_builds_the_application_without_touching_the_network(tmp_path: Path) -> None:
    container = Container(settings=settings_of(tmp_path, TWO))
    container.check_dependencies()

    assert container.app() is container.app()


def composed_of(root: object) -> list[object]:
    """All objects that it leads to, but for classes, modules and what functions find in theirs, and for loggers, which
    the process has in common."""
    found, left = {id(root): root}, [root]
    while left:
        it = left.pop()
        referents = (
            (it.__closure__ or (), it.__defaults__ or ()) if isinstance(it, FunctionType) else gc.get_referents(it)
        )
        for each in referents:
            if id(each) not in found and not isinstance(each, type | ModuleType | Logger):
                found[id(each)] = each
                left.append(each)
    return list(found.values())


@pytest.mark.parametrize("is_traced", [False, True])
def test_without_tracing_nothing_of_it_stands_on_the_way_of_a_request(tmp_path: Path, *, is_traced: bool) -> None:
    container = Container(settings=settings_of(tmp_path, TWO))
    if is_traced:
        container.tracing.override(providers.Object(object()))
    parts = composed_of(container.app())

    assert len(parts) > 500
    assert any(isinstance(each, TracedAttempt) for each in parts) is is_traced
    assert (container.tracing() is None) is not is_traced


def test_the_banner_names_address_groups_endpoints_shares_stores_and_no_key(tmp_path: Path) -> None:
    text = banner(settings_of(tmp_path, TWO), demo=False)

    for words in ("http://127.0.0.1:4000", "gpt/1", "75.0%", "25.0%", "fallback", "r.openai.azure.com", "stores: "):
        assert words in text
    assert "key-" not in text


def test_endpoints_that_differ_by_key_alone_stay_apart_and_show_no_key(tmp_path: Path) -> None:
    models = "\n".join(
        f"      - {{model: m, params: {{api_key: {key}}}}}" for key in ("k1-secret", "k2-secret", "k1-secret")
    )
    settings = settings_of(tmp_path, f"model_groups:\n  - model_group: g\n    models:\n{models}\n")

    one, two, again = model_groups(settings)[0].endpoints

    assert one.identity != two.identity
    assert one.bucket != two.bucket
    assert one.account != two.account
    assert (one.identity, one.bucket, one.account) == (again.identity, again.bucket, again.account)
    assert "secret" not in repr((one, two, targets(settings, {})))


def test_identity_does_not_depend_on_the_order_of_the_file(tmp_path: Path) -> None:
    models = ["- {model: a, params: {api_key: k}}", "- {model: b, params: {api_key: k}}"]
    text = "model_groups:\n  - model_group: g\n    models:\n      {}\n      {}\n"

    there = model_groups(settings_of(tmp_path, text.format(*models)))[0].endpoints
    back = model_groups(settings_of(tmp_path, text.format(*reversed(models))))[0].endpoints

    assert {e.identity for e in there} == {e.identity for e in back}
