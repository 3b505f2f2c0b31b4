"""What a replica tells the others, as bytes, and back. Nothing that is read is believed before it was looked at.

    version (1 byte) | the report in msgpack

Fields go by their names: replicas of different versions, side by side while a fleet is updated, read what they know of
each other's reports. The version is raised when a field comes to mean something else.
"""

import msgspec

from domain.health.cooldown_report import CooldownReport
from domain.rate_limit.limit_report import BucketReport, ReadingReport
from domain.rate_limit.throttle import MAX_DELAY_S
from domain.replica_moments import SKEW_S
from domain.replica_report import ReplicaReport

VERSION = 1
MAX_REPORT_BYTES = 1 << 20  # Thousands of endpoints. A longer report is neither written nor read.
MAX_AHEAD_S = 172_800.0  # nothing lasts longer: the longest cooldown that can be configured is one day
MAX_BEHIND_S = 1e9
_MAX_ROW = 1e9  # 429s in a row; a replica counts on, and believes few of another's

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(ReplicaReport)


def encode_report(report: ReplicaReport) -> bytes | None:
    """The report as bytes; None = it is too large, or cannot be written."""
    try:
        packed = _ENCODER.encode(report)
    except (ValueError, OverflowError):  # a name that is not Unicode, a number that is longer than 64 bits
        return None
    return b"%c%b" % (VERSION, packed) if len(packed) < MAX_REPORT_BYTES else None


def decode_report(packed: bytes) -> ReplicaReport | None:
    """The report, without the report in it that cannot be true; None = this is not one. Never raises."""
    if not 1 < len(packed) <= MAX_REPORT_BYTES or packed[0] != VERSION:
        return None
    try:
        report = _DECODER.decode(memoryview(packed)[1:])
    except (ValueError, RecursionError):  # fields we do not know are skipped, however deep
        return None
    endpoints = {name: report for name, report in report.endpoints.items() if _is_cooldown(report)}
    buckets = {name: report for name, report in report.buckets.items() if _is_bucket(report)}
    return ReplicaReport(endpoints, buckets)


def _is_cooldown(report: CooldownReport) -> bool:
    return (
        _is_time(report.opened_at, SKEW_S)
        and _is_time(report.open_until, MAX_AHEAD_S)
        and _is_time(report.closed_at, SKEW_S)
        and 0 <= report.cooldown_s <= MAX_AHEAD_S
    )


def _is_bucket(report: BucketReport) -> bool:
    return (
        _is_time(report.limited_until, MAX_DELAY_S + SKEW_S)
        and 0 <= report.unexplained <= _MAX_ROW
        and _is_reading(report.requests)
        and _is_reading(report.tokens)
    )


def _is_reading(report: ReadingReport) -> bool:
    return _is_time(report.read_at, SKEW_S) and report.reading.is_possible


def _is_time(seconds: float | None, most_ahead_s: float) -> bool:
    """Is it a time of the past, or no further ahead of when the report was put down? What is not a number is in no
    range. One that lies ahead and cannot would hide what others tell, as the latest counts."""
    return seconds is None or -MAX_BEHIND_S <= seconds <= most_ahead_s
