"""A secret never shows itself by accident."""

import copy
import json
import pickle
import traceback

import msgspec
import pytest

from domain.secret import Secret

CANARY = "sk-canary-9f8e7d6c5b4a"


class Holder(msgspec.Struct, frozen=True):
    key: Secret


def test_only_reveal_gives_the_text() -> None:
    assert Secret(CANARY).reveal() == CANARY


@pytest.mark.parametrize(
    "printed",
    [
        str(Secret(CANARY)),
        repr(Secret(CANARY)),
        f"{Secret(CANARY)}",
        f"{Secret(CANARY):>40}",
        "%s %r" % (Secret(CANARY), Secret(CANARY)),  # noqa: UP031 - the old form is one more way to print
        repr([Secret(CANARY)]),
        repr(Holder(Secret(CANARY))),
        repr(msgspec.structs.asdict(Holder(Secret(CANARY)))),
    ],
)
def test_every_way_to_print_it_shows_stars(printed: str) -> None:
    assert "***" in printed
    assert CANARY not in printed


def test_encoders_refuse_it() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(Holder(Secret(CANARY)))
    with pytest.raises(TypeError):
        json.dumps({"key": Secret(CANARY)})
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))


def test_it_has_no_attributes_to_dump() -> None:
    with pytest.raises(TypeError):
        vars(Secret(CANARY))


def test_a_traceback_with_locals_does_not_show_it() -> None:
    def fail(key: Secret) -> None:
        raise RuntimeError("boom")

    try:
        fail(Secret(CANARY))
    except RuntimeError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert "key = ***" in told


def test_secrets_are_equal_by_text_and_work_as_keys() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_texts_outside_ascii_and_broken_ones_compare() -> None:
    assert Secret("schlüssel") != Secret("schlussel")
    assert Secret("\udcff") == Secret("\udcff")


def test_a_copy_is_the_secret_itself() -> None:
    secret = Secret(CANARY)

    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
