"""What stores give back: entries of the cache and reports of other replicas, which somebody else may have written."""

from collections.abc import Hashable

import msgspec

from adapters.stores import entry_codec
from adapters.stores.entry_codec import decode_entry, encode_entry
from adapters.stores.report_codec import decode_report, encode_report
from application.store_ports import CachedAnswer, Shape
from domain.caching.cache_key import CacheKey
from domain.health.cooldown_report import CooldownReport
from domain.rate_limit.limit_reading import Reading
from domain.rate_limit.limit_report import BucketReport, ReadingReport
from domain.replica_report import ReplicaReport
from tests.parsers.target import Target, led

_KEY = CacheKey("name", bytes(range(32)))


def _entries(data: bytes) -> Hashable:
    """With the right signature: all but its holder fails at that."""
    assert decode_entry(_KEY, data) is None, "nobody guesses a signature"
    variant, data = led(data)
    signed = bytes([variant % 3]) + data
    entry = bytes([entry_codec.VERSION]) + entry_codec._signature(_KEY, signed) + signed
    answer = decode_entry(_KEY, entry)
    if answer is None:
        return None
    again = encode_entry(_KEY, answer)
    assert again is not None
    assert repr(decode_entry(_KEY, again)) == repr(answer)
    return answer.shape, min(2, len(answer.headers)), min(2, len(answer.chunks)), answer.cost is None


def _reports(data: bytes) -> Hashable:
    report = decode_report(data)
    if report is None:
        return None
    again = encode_report(report)
    assert again is not None
    assert decode_report(again) == report, "what is believed can be told on"
    return min(2, len(report.endpoints)), min(2, len(report.buckets))


_ANSWER = CachedAnswer(Shape(True, "{}"), (("content-type", "x"),), (b"data: x\n\n", b"y"), 1.5, "g/1")
_READING = ReadingReport(Reading(60.0, 5.0, 1.0), -1.0)
_REPORT = ReplicaReport(
    {"e": CooldownReport(-3.0, 5.0, None, 10.0)}, {"b": BucketReport(2.0, 1, _READING, ReadingReport())}
)
_WRITTEN = encode_entry(_KEY, _ANSWER) or b""
_TOLD = encode_report(_REPORT) or b""
_NUMBERS = tuple(
    map(msgspec.msgpack.encode, (None, True, -1, 2**63, -(2**63), 1e300, float("nan"), float("inf"), "x", [], {}))
)

TARGETS = (
    Target("cache-entries", _entries, (_WRITTEN[17:], b"\x01x\x9c", b"\x02", *_NUMBERS)),
    Target("replica-reports", _reports, (_TOLD, b"\x01", *_NUMBERS)),
)
