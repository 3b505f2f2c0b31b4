"""Requests by the thousand, good and damaged: however they are cut, and as a stricter parser (h11) reads them."""

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.http_read import Read
from tests.unit.random_requests import requests
from tests.unit.read_by_h11 import requests_by_h11


def bounds(read: Read) -> list[tuple[bytes, bytes, bytes]]:
    return [
        (each.scope["method"].encode(), _target(each.scope), each.body) for each in read.requests if each.is_complete
    ]


def _target(scope: dict[str, Any]) -> bytes:
    query = scope["query_string"]
    return bytes(scope["raw_path"] + (b"?" + query if query else b""))


@given(st.lists(requests(), min_size=1, max_size=4), st.data())
def test_however_it_is_cut_the_same_requests_arrive(sent: list[bytes], data: st.DataObject) -> None:
    all_of_it = b"".join(sent)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(all_of_it)), max_size=10)))
    edges = [0, *cuts, len(all_of_it)]

    pieces = [all_of_it[start:end] for start, end in itertools.pairwise(edges) if start < end]

    assert Read(*pieces).told() == Read(all_of_it).told()


@given(st.lists(requests(), min_size=1, max_size=4))
def test_good_requests_are_read_as_h11_reads_them(sent: list[bytes]) -> None:
    read = Read(b"".join(sent))

    assert read.refusal is None
    assert len(read.requests) == len(sent)
    assert bounds(read) == requests_by_h11(b"".join(sent))


MUTATIONS = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\0",
        b":",
        b",",
        b";",
        b"0",
        b"1",
        b"Content-Length: 1\r\n",
        b"x",
        b"Transfer-Encoding: chunked\r\n",
        b"chunked",
        b"HTTP/1.0",
        b"\x0b",
        b"\x80",
        b"-",
        b"+",
        b"\r\n\r\n",
    ]
)


@settings(max_examples=examples(200))
@given(st.lists(requests(), min_size=1, max_size=2), st.lists(st.tuples(st.integers(0, 1000), MUTATIONS), max_size=3))
def test_where_both_read_damaged_requests_they_read_the_same(
    sent: list[bytes], damage: list[tuple[int, bytes]]
) -> None:
    damaged = bytearray(b"".join(sent))
    for at, what in damage:
        place = at % len(damaged)
        damaged[place:place] = what
    read = Read(bytes(damaged))

    by_other = requests_by_h11(bytes(damaged))

    if read.refusal is None and by_other is not None:
        keeping = bounds(read)[: len(by_other)]
        assert keeping == by_other[: len(keeping)]
        assert len(keeping) == len(by_other) or not read.requests[-1].is_complete
