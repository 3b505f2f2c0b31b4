"""What happens to a bucket, each time to a copy of it: so that a test can look at both, and go on from either."""

from copy import copy

from application.endpoints.bucket import Bucket
from domain.failure import Failure, FailureKind
from domain.rate_limit.limit_reading import Readings
from domain.rate_limit.limit_report import BucketReport, Charged
from domain.rate_limit.reservation import Ending, Reservation


def charged(bucket: Bucket, need: float, now: float) -> tuple[Bucket, Reservation]:
    bucket = copy(bucket)
    return bucket, bucket.charge(need, now)


def replied(bucket: Bucket, readings: Readings, held: Reservation, sent_at: float, now: float) -> Bucket:
    bucket = copy(bucket)
    bucket.read(readings, held, sent_at, now)
    return bucket


def settled(bucket: Bucket, held: Reservation, ending: Ending, now: float) -> Bucket:
    bucket = copy(bucket)
    bucket.settle(held, ending, now)
    return bucket


def limited(bucket: Bucket, delay_s: float | None, now: float) -> Bucket:
    bucket = copy(bucket)
    bucket.limited(Failure(FailureKind.RATE_LIMITED, retry_after_s=delay_s), now, now)
    return bucket


def succeeded(bucket: Bucket, sent: float = 0.0) -> Bucket:
    bucket = copy(bucket)
    bucket.succeeded(sent)
    return bucket


def heard(bucket: Bucket, report: BucketReport, now: float, before: Charged = Charged()) -> Bucket:  # noqa: B008
    """The very same bucket if that changes nothing."""
    after = copy(bucket)
    return after if after.take(report, before, now) else bucket
