"""No regular expression takes more than a number of steps for each letter of what comes from outside."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

import adapters
import application
import domain
from tests.regex_steps import Steps, TooManySteps, shortest

SIZE = 300
STEPS_PER_LETTER = 120
"""The most that a pattern with bounded repeats takes; a quadratic one takes `SIZE` for each letter, and half of it."""

FILLERS = (
    " ",
    "\t \n",
    "\n",
    "0",
    "1.",
    "0s",
    "a",
    "a-",
    '"',
    "'",
    "`",
    "\\",
    '\\"',
    "/",
    ":",
    ",",
    ";",
    "{",
    "[",
    "é",
)
LEFT_OUT = ("simulator", "adapters.upstreams.openai.errors.retry_delay", "adapters.upstreams.openai.errors.error_kinds")
"""The simulated provider, and what looks at a few hundred letters only."""


def patterns() -> Iterator[Any]:
    for package in (domain, application, adapters):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.startswith(LEFT_OUT):
                continue
            module = importlib.import_module(found.name)
            source = "" if found.ispkg else inspect.getsource(module)
            for name, value in vars(module).items():
                if f"\n{name} = " in source:
                    for number, pattern in enumerate(_inside(value)):
                        yield pytest.param(found.name, name, pattern, id=f"{found.name}.{name}.{number}")


def _inside(value: object) -> Iterator["re.Pattern[Any]"]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _inside(part)


def hostile(pattern: "re.Pattern[Any]") -> Iterator[str]:
    """Texts that come near to what it looks for, again and again: any beginning of it, and then more of something."""
    seed = shortest(pattern)
    edges = [at for at in range(1, len(seed)) if not (seed[at - 1].isalnum() and seed[at].isalnum())]
    for end in (0, *edges, len(seed)):
        for filler in FILLERS:
            yield (seed[:end] + filler * SIZE)[:SIZE]
        yield (seed[end:] * SIZE)[:SIZE]
        yield (seed[:end] * SIZE)[:SIZE]


def steps_of(pattern: "re.Pattern[Any]", text: str, *, scans: bool) -> int:
    steps = Steps(pattern, text)
    with suppress(TooManySteps):
        steps.anywhere() if scans else steps.at_start()
    return steps.count


@pytest.mark.parametrize(("module", "name", "pattern"), list(patterns()))
def test_steps_grow_with_the_text_and_no_faster(module: str, name: str, pattern: "re.Pattern[Any]") -> None:
    source = inspect.getsource(importlib.import_module(module))
    scans = re.search(rf"\b{name}\.(?:search|finditer|findall|sub|split)", source) is not None
    for text in hostile(pattern):
        assert steps_of(pattern, text, scans=scans) <= STEPS_PER_LETTER * SIZE, text[:60]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(r"in\s+((?:\d+(?:\.\d+)?\s*[a-z]*\s*)+)x", "in " + "0" * 40), (r"a+b", "a" * SIZE), (rb"^\s*x", "\n" * SIZE)],
)
def test_a_pattern_that_is_not_linear_is_found(pattern: Any, text: str) -> None:
    assert steps_of(re.compile(pattern, re.MULTILINE), text, scans=True) > STEPS_PER_LETTER * SIZE
