"""Whatever is read as a plain reply, llhttp reads as well, and to mean the same."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.http1.plain_reply import START, plain_reply
from tests.unit.reply_read import Read

PLAIN = [
    *("content-type: application/json", "Date: Mon, 30 Nov 2026 17:00:00 GMT", "x-request-id: req_1", "server: envoy"),
    *("x-ratelimit-remaining-tokens: 149999000", "Connection: keep-alive", "openai-version: 2020-10-01", "ETag: a:b"),
]
NASTY = [
    *("Content-Length: 3", "content-length: 5", "content-length: +5", "content-length: 5, 5", "content-length:5"),
    *("content-length: 5 ", "content-length:  5", "content-length: 05", "content-length: 0x5"),
    *("content-length: 99999999999", "Transfer-Encoding: chunked", "connection: close", "Connection: upgrade"),
    *("upgrade: h2c", "proxy-connection: close", "x y: z", "x: \x00", "x: \x7f", "x: é", "x:\ty", "x: a\rb"),
    *("x: a\nb", "folded: a\r\n b", ": a", "x", "", "x: ", "x :y", "x(: y", 'x"y: z', "HTTP/1.1 200 OK"),
    *("date: again", "set-cookie: a", "set-cookie: b", "trailer: x", "keep-alive: timeout=5"),
]
CUTS = [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b":", b"\t", b"\x00", b"\xff", b"0", b"content-length: 0\r\n", b""]


def sent(lines: list[str], body: bytes, ahead: bytes = START) -> bytes:
    return ahead + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


def check(data: bytes) -> bool:
    """Was it taken for a plain reply, and by llhttp for the same?"""
    if plain_reply(data, 64 * 1024, 256) is None:
        return False
    plain, parsed = Read(data), Read(data[:1], data[1:])  # which comes in two pieces is not plain
    assert parsed.is_clean
    assert plain.is_clean
    assert (plain.reply.status, plain.reply.headers, plain.body) == (200, parsed.reply.headers, parsed.body)
    return True


@pytest.mark.parametrize("body", [b"", b"12345", b"\r\n\r\n", b"\x00" * 70_000])
def test_a_plain_reply_is_one(body: bytes) -> None:
    assert check(sent([*PLAIN, f"content-length: {len(body)}"], body))


@pytest.mark.parametrize("line", NASTY)
def test_what_is_not_plain_is_left_to_the_parser(line: str) -> None:
    harmless = line in {"date: again", "set-cookie: a", "set-cookie: b", "trailer: x", "keep-alive: timeout=5"}
    lines = ["content-length: 5", line, "server: x"]

    assert check(sent(lines, b"12345")) is harmless
    assert not check(sent([*lines, "SET-COOKIE: c", "set-cookie: d"], b"12345"))


@pytest.mark.parametrize("data", [sent(["content-length: 5"], b"1234"), sent(["content-length: 5"], b"123456"), START])
def test_what_is_not_all_here_is_left_to_the_parser(data: bytes) -> None:
    assert not check(data)


def test_a_head_that_is_too_large_is_left_to_the_parser() -> None:
    data = sent([*(f"x-{number}: y" for number in range(255)), "content-length: 0"], b"")

    assert plain_reply(data, len(data), 256) is not None
    assert plain_reply(data, len(data) - 1, 256) is None
    assert plain_reply(data, len(data), 255) is None


@given(
    st.lists(st.sampled_from(PLAIN + NASTY), max_size=6),
    st.sampled_from(["content-length: 5", "Content-Length: 5", "content-length: 4", ""]),
    st.text(st.characters(max_codepoint=0xFF), max_size=8),
    st.integers(0, 6),
)
def test_lines_of_any_kind_mean_the_same(lines: list[str], length: str, noise: str, at: int) -> None:
    lines.insert(at, f"{noise[:4]}: {noise[4:]}")
    check(sent([*lines, *([length] if length else [])], b"12345"))
    check(sent([line for line in lines if line in PLAIN] + [f"x: {noise}", "content-length: 5"], b"12345"))


@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_tampered_heads_mean_the_same(seed: int) -> None:
    dice = random.Random(seed)
    taken = 0
    for _ in range(1500):
        lines = dice.sample(PLAIN, dice.randrange(4)) + (dice.sample(NASTY, 1) if dice.random() < 0.3 else [])
        lines.insert(dice.randint(0, len(lines)), "content-length: 5")
        data = bytearray(sent(lines, b"12345"))
        for _ in range(dice.choice([0, 1, 1, 2, 3])):
            at = dice.randrange(len(START), len(data)) if dice.random() < 0.9 else dice.randrange(len(data))
            match dice.randrange(4):
                case 0:
                    data[at] = dice.randrange(256)
                case 1:
                    data[at:at] = dice.choice(CUTS)
                case 2:
                    del data[at : at + dice.randint(1, 3)]
                case 3:
                    other = dice.randrange(len(data))
                    data[at : at + 4] = data[other : other + 4]
        taken += bytes(data[: len(START)]) == START and check(bytes(data))
    assert taken > 200  # of enough of them something is said
