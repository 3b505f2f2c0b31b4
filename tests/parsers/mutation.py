"""Another input made of those that are there: bytes changed, words put in, pieces dropped, moved and repeated."""

import re
from collections.abc import Callable, Sequence
from random import Random

_MARKS = b"\0\t\n\r \"'#%&()*+,-./0189:;<=>?@AZ[\\]_az{|}~\x7f\x80\xbf\xc3\xed\xef\xf0\xff"
_NUMBERS = (
    b"0", b"-1", b"1", b"65536", b"2147483648", b"9223372036854775808", b"18446744073709551616", b"1e400", b"-1e400",
    b"9" * 310, b"9" * 5000, b"0.1", b"1e-400", b"NaN", b"Infinity", b"-Infinity", b"00", b"+1", b"0x10", b"1_0",
    b"fff",
)  # fmt: skip
_LONGEST_REPEATED = 64
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|\b(?:true|false|null)\b')
_FORMS = (b"@", b"@", b"@", b"[@]", b'{"type":@}', b"$,@", b'$:@,"x"', b"[$,@]", b'{"error":$}', b"{@:$}")


def mutated(dice: Random, corpus: Sequence[bytes], words: Sequence[bytes], longest_bytes: int) -> bytes:
    """Made of one of the `corpus`, mostly of one that came late, by one change or a few."""
    data = bytearray(_one_of(dice, corpus))
    for _ in range(1 << dice.randrange(4)):
        dice.choice(_CHANGES)(dice, data, corpus, words)
    if dice.random() < 0.01:
        _multiply(dice, data, 16 * longest_bytes)
        return bytes(data[: 16 * longest_bytes])
    return bytes(data[:longest_bytes])


def _one_of(dice: Random, corpus: Sequence[bytes]) -> bytes:
    return dice.choice(corpus[-32:] if dice.random() < 0.4 else corpus)


def _place(dice: Random, data: bytearray) -> int:
    return dice.randrange(len(data) + 1)


def _piece(dice: Random, data: bytes | bytearray) -> tuple[int, int]:
    start = dice.randrange(len(data) + 1)
    longest = dice.choice((4, 16, 64, len(data) + 1))
    return start, min(len(data), start + dice.randrange(longest + 1))


def _change_a_byte(dice: Random, data: bytearray, *_: object) -> None:
    if data:
        at = dice.randrange(len(data))
        data[at] = dice.choice((data[at] ^ 1 << dice.randrange(8), dice.choice(_MARKS), dice.randrange(256)))


def _insert_a_mark(dice: Random, data: bytearray, *_: object) -> None:
    at = _place(dice, data)
    data[at:at] = bytes([dice.choice(_MARKS)]) * dice.choice((1, 1, 1, 2, 3))


def _insert_a_word(dice: Random, data: bytearray, _: object, words: Sequence[bytes]) -> None:
    if words:
        at, end = _piece(dice, data) if dice.random() < 0.3 else (_place(dice, data),) * 2
        data[at:end] = dice.choice(words)


def _insert_a_number(dice: Random, data: bytearray, *_: object) -> None:
    """In the place of one that stands there, if there is any."""
    at = _place(dice, data)
    while at < len(data) and not 0x30 <= data[at] <= 0x39:
        at += 1
    end = at
    while end < len(data) and 0x30 <= data[end] <= 0x39:
        end += 1
    data[at:end] = dice.choice(_NUMBERS)


def _drop(dice: Random, data: bytearray, *_: object) -> None:
    start, end = _piece(dice, data)
    del data[start:end]


def _copy(dice: Random, data: bytearray, *_: object) -> None:
    start, end = _piece(dice, data)
    at = _place(dice, data)
    data[at:at] = data[start:end]


def _splice(dice: Random, data: bytearray, corpus: Sequence[bytes], _: object) -> None:
    other = dice.choice(corpus)
    start, end = _piece(dice, other)
    at, until = _piece(dice, data)
    data[at:until] = other[start:end]


def _swap_a_token(dice: Random, data: bytearray, corpus: Sequence[bytes], _: object) -> None:
    """A text, number or word in JSON for another, or for one with more in it: what results mostly is JSON as well."""
    tokens = [found.span() for found in _TOKEN.finditer(data)]
    others = _TOKEN.findall(dice.choice(corpus))
    if tokens and others:
        start, end = dice.choice(tokens)
        data[start:end] = dice.choice(_FORMS).replace(b"@", dice.choice(others)).replace(b"$", data[start:end])


def _repeat(dice: Random, data: bytearray, *_: object) -> None:
    start, end = _piece(dice, data)
    if 0 < end - start <= _LONGEST_REPEATED:
        data[start:end] = data[start:end] * dice.choice((2, 3, 8, 40))


def _multiply(dice: Random, data: bytearray, longest_bytes: int) -> None:
    start, end = _piece(dice, data)
    if end > start:
        data[start:end] = data[start:end] * (longest_bytes // (end - start))


_Change = Callable[[Random, bytearray, Sequence[bytes], Sequence[bytes]], None]
_CHANGES: Sequence[_Change] = (
    _change_a_byte, _change_a_byte, _insert_a_mark, _insert_a_word, _insert_a_word, _insert_a_number, _drop, _drop,
    _copy, _splice, _splice, _repeat, _swap_a_token, _swap_a_token,
)  # fmt: skip
