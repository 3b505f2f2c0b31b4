"""What is remembered of texts from outside is short, whatever comes."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adapters.http import headers
from adapters.http.access import guards, origins
from adapters.http.bodies import content_codings, decode_request
from adapters.http.exchange import exchange_report
from adapters.http.paths import routes
from adapters.http.sockets import alike
from adapters.stores.memory.cache import MemoryResponseCache
from adapters.upstreams.http1 import plain_reply, reply_reader, request
from adapters.upstreams.httpx import client
from adapters.upstreams.openai import model_rewrite, rate_limit_headers
from adapters.upstreams.outbound import never_called
from adapters.upstreams.reshape.answer_formats import OpenAIAnswerFormats
from application import shown_text
from application.answers import WholeAnswer
from application.caching.cached import CachedAnswers
from application.caching.single_flight import SingleFlight
from application.held_bytes import HeldBytes
from application.messages import Api, ProxyRequest, RequestTrace, UpstreamCall, WholeReply
from domain.bounded_memo import SHORT, Remembered, lengths
from domain.caching.cache_key import CachePolicy
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from simulator.protocol import routes as provider_routes
from tests.fakes import FakeClock

HOSTILE = 2_000
LONG = "x" * 60_000
MOST_BYTES = 2 * 1024 * 1024


def held_bytes(key: Any) -> int:
    return sum(map(held_bytes, key)) if isinstance(key, tuple) else sys.getsizeof(key)


def cache_of(value: object) -> Any:
    """The cache that it is, or that a `remembered` function is of; None = neither."""
    cache = getattr(value, "__self__", value)
    return cache if isinstance(cache, Remembered) else None


KEYS: list[tuple[Any, Callable[[str], Any]]] = [
    (cache_of(headers._forwarded_name), str.encode),
    (alike._beginnings, lambda text: f'data: {{"type":"{text}"'.encode()),
    (headers.HEADER_TEXTS, str),
    (headers.RELAYED_AGAIN, lambda text: (("x-a", text),)),
    (exchange_report._shown_models, str),
    (headers._prefixes, str),
    (shown_text.SHOWN_HEADERS, str.encode),
    (cache_of(guards._is_json), str.encode),
    (cache_of(content_codings._split), str.encode),
    (cache_of(decode_request._digest), lambda text: (("authorization", text),)),
    (cache_of(routes.below_root), "/v1/x/{}".format),
    (cache_of(routes._find_route), lambda text: ("GET", f"/v1/responses/resp_{text}")),
    (cache_of(routes.is_other), "/v1/x/{}".format),
    (cache_of(client._address), "http://h/{}".format),
    (cache_of(never_called.address_in), str),
    (cache_of(never_called.reason_against), str),
    (rate_limit_headers._limits, str),
    (rate_limit_headers._resets, str),
    (model_rewrite._values, str),
    (plain_reply._fields, lambda text: f"x-a: {text}".encode()),
    (reply_reader._names, str.encode),
    (cache_of(request.target_of), "http://h/{}".format),
    (request._framing, str),
    (request._beginnings, lambda text: ("GET / HTTP/1.1\r\nhost: h", (("x-a", text),), ())),
]


def caches_of_modules() -> Iterator[Remembered[Any, Any]]:
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith(("adapters.", "application.", "domain.")):
            yield from (cache for cache in map(cache_of, vars(module).values()) if cache is not None)


def test_each_cache_is_tried() -> None:
    assert {id(cache) for cache in caches_of_modules()} <= {id(cache) for cache, _ in KEYS}


@pytest.mark.parametrize(("cache", "key_of"), KEYS, ids=[cache._work.__qualname__ for cache, _ in KEYS])
def test_of_thousands_of_hostile_texts_little_is_held(
    cache: Remembered[Any, Any], key_of: Callable[[str], Any]
) -> None:
    cache.clear()
    most = entries = 0
    for number in range(HOSTILE):
        if number % 16 == 0:
            cache[key_of(f"{LONG}{number}")]
        cache[key_of(f"{number}")]
        if number % 128 == 0:
            most = max(most, sum(map(held_bytes, cache)))
        entries = max(entries, len(cache))

    assert 0 < entries <= 1024
    assert 0 < most <= MOST_BYTES
    assert not any(LONG in str(key) for key in cache)
    cache.clear()


def test_there_is_no_other_cache_of_texts_from_outside() -> None:
    """Those that are left count what cannot be long: seconds, hosts of the configuration, a user agent's beginning."""
    known = {"_known_route", "_second", "_agent", "_date_line", "_is_ip", "_rules", "_marks"}
    caches = {
        name
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith(("adapters.", "application.", "domain."))
        for name, value in vars(module).items()
        if hasattr(value, "cache_info") and getattr(value, "__module__", None) == module.__name__
    }

    assert caches <= known


def test_the_simulated_provider_remembers_short_request_lines_only() -> None:
    before = provider_routes._known_route.cache_info().currsize
    for number in range(5):
        assert provider_routes.find_route("GET", f"/v1/models/{LONG}{number}").operation == "model"
        assert provider_routes._known_route.cache_info().currsize == before


def test_hosts_and_origins_are_remembered_while_they_are_short() -> None:
    guard = guards.Guard(bind_address="127.0.0.1")
    allowed = origins.Origins(["https://*.example.com"])
    for number in range(200):
        for host in (f"h{number}", f"{LONG}{number}"):
            with pytest.raises(guards.NotAllowed):
                guard.check({b"host": host.encode()})
            assert not allowed.allows(f"https://{host}".encode())

    held = [*guard._known, *allowed._allowed]
    assert 0 < sum(map(len, held)) <= 96 * SHORT


def test_what_is_remembered_is_worked_out_once_and_what_is_long_each_time() -> None:
    worked: list[str] = []
    texts = Remembered(lambda text: worked.append(text) or len(text), most=2, longest=3)

    assert [texts["abc"], texts["abc"], texts["abcd"], texts["abcd"]] == [3, 3, 4, 4]
    assert worked == ["abc", "abcd", "abcd"]
    assert [texts["b"], texts["c"]] == [1, 1]
    assert set(texts) == {"c"}


def test_lengths_are_of_all_parts() -> None:
    assert lengths(("ab", b"c", (("d", "ef"),), None)) == 6


class Cached:
    """Answers from the cache, and how many bytes of requests it remembers."""

    def __init__(self) -> None:
        clock = FakeClock()
        self.group = ModelGroup("g", (Endpoint("e", "m", "openai"),))
        cache = MemoryResponseCache(1 << 20, clock)
        self.answers = CachedAnswers(
            CachePolicy(),
            cache,
            OpenAIAnswerFormats(),
            SingleFlight(clock, HeldBytes()),
            self._dispatch,
            clock,
            lambda: 0.5,
        )

    async def ask(self, body: bytes, **fields: Any) -> RequestTrace:
        trace = RequestTrace()
        asked = ProxyRequest(
            api=Api.CHAT, path="/chat/completions", query=fields.get("query", ""), headers=fields.get("headers", ()),
            credentials=(), body=body, model="m", body_model="m", stream=False, request_id="r", received=0.0,
            tenant="t", temperature=0,
        )  # fmt: skip
        await self.answers(self.group, asked, trace)
        return trace

    @property
    def held_bytes(self) -> int:
        return sum(map(lengths, ((key[3], key[5]) for key in self.answers._places)))

    async def _dispatch(self, *_: Any) -> WholeAnswer:
        return WholeAnswer(WholeReply(200, (), b"{}"))


async def test_a_request_with_much_beside_a_small_body_is_not_remembered() -> None:
    line = Cached()
    body = b'{"model":"m","temperature":0,"messages":[]}'
    for number in range(20):
        await line.ask(body, headers=(("openai-beta", f"{number}{LONG}"),))
        await line.ask(body, query=f"{number}{LONG}")
        await line.ask(body, query=f"{number}")

    assert 0 < line.held_bytes < 20 * 200


@pytest.mark.parametrize("letters", ["[],", '"a":1,'])
async def test_a_request_of_many_values_is_not_looked_up_and_a_large_one_is(letters: str) -> None:
    line = Cached()
    heavy = f"[{letters * 300_000}1]" if letters[0] == "[" else "{" + letters * 300_000 + '"b":1}'
    many = f'{{"model":"m","temperature":0,"messages":{heavy}}}'.encode()
    large = b'{"model":"m","temperature":0,"messages":["%b"]}' % (b"A" * 2_000_000)

    assert (await line.ask(many)).cache == "bypass"
    assert (await line.ask(large)).cache == "miss"


def test_a_call_is_sent_though_its_headers_names_are_not_remembered() -> None:
    call = UpstreamCall("POST", "http://h/", ((LONG, "1"), ("host", "x")), b"{}", 1.0, 1.0, 1.0)

    assert f"{LONG}: 1\r\n".encode() in request.head_of(call, " / HTTP/1.1\r\nhost: h")
    assert LONG not in request._framing
