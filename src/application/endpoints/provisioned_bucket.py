"""The bucket of provisioned capacity, such as an Azure PTU: no reply says what is left of it, only its 429s do."""

from msgspec import structs

from application.endpoints.bucket import Bucket
from domain.failure import Failure, FailureKind
from domain.rate_limit.leaky_bucket import LeakyBucket
from domain.rate_limit.limit_reading import Readings
from domain.rate_limit.limit_report import BucketReport, Charged
from domain.rate_limit.reservation import Ending, Reservation
from domain.rate_limit.room import Ahead
from domain.rate_limit.token_estimate import MAX_OUTPUT_TOKENS, MAX_REQUEST_TOKENS, ProvisionedEstimate, Usage


class ProvisionedBucket(Bucket):
    """Its tokens are input tokens, and what the `LeakyBucket` says; of its requests the configuration may say `rpm`."""

    __slots__ = ("_leaky",)

    estimate: ProvisionedEstimate
    is_leaky = True

    def __init__(
        self,
        provider: str,
        rpm: float | None,
        tpm: float | None,
        now: float,
        reserve: float = 0.0,
        output_ratio: float = 1.0,
    ) -> None:
        """See `Bucket`. `tpm` None = how fast it drains is learned from 429s alone. `reserve` is of `rpm`. An output
        token counts for `output_ratio` input tokens."""
        super().__init__(provider, rpm, tpm, now, reserve)
        self.estimate = ProvisionedEstimate(output_ratio=output_ratio)
        self._become(LeakyBucket.of(tpm, now))

    def configure(
        self,
        provider: str,
        rpm: float | None,
        tpm: float | None,
        now: float,
        reserve: float,
        output_ratio: float = 1.0,
    ) -> None:
        """See `Bucket`. What was learned of the bucket stays where `tpm` does, and what its tokens are."""
        stays = (self._configured[2], self.estimate.output_ratio) == (tpm, output_ratio)
        leaky = self._leaky if stays else self._leaky.begun_anew(tpm, now)
        super().configure(provider, rpm, tpm, now, reserve)
        self.estimate = structs.replace(self.estimate, output_ratio=output_ratio)
        self._become(leaky)

    def fits_by_choice_in_s(self, need: float, now: float) -> float:
        """See `Bucket`. It leaves the margin below the brim alone: a bucket that never runs empty is used at 100 % with
        it and without, and how full it is was only estimated."""
        return self.fits_in_s(need, now, Ahead(self.requests.terms.kept, self.tokens.terms.kept))

    def turn_in_s(self, need: float, now: float, ahead: Ahead) -> float:
        """See `Bucket`. A 429 that comes before its turn sets it back, by about half of what is kept free: with less
        some wait in vain, with more what is free goes unused (docs/cost.md has both)."""
        requests, tokens = self.requests.terms.kept, self.tokens.terms.kept
        ahead_tokens = ahead.tokens + (self.estimate.output_ratio - 1.0) * ahead.output
        return self.fits_in_s(need, now, Ahead(ahead.requests + requests, ahead_tokens + 1.5 * tokens))

    def charge(self, need: float, now: float) -> Reservation:
        """See `Bucket`."""
        leaky = self._leaky.charge(need, now)
        self.requests = self.requests.charge(1.0, now)
        self._become(leaky)
        if self.throttle.batch:
            self.throttle = self.throttle.after_charge(now)
        others, others_tokens = self.reserved_requests, self.reserved_tokens
        self.reserved_requests = others + 1.0
        self.reserved_tokens = others_tokens + need
        return Reservation(need, self.requests.charged, leaky.sent, others, others_tokens)

    def read(self, readings: Readings, held: Reservation, sent: float, now: float) -> None:
        """Nothing: what such a reply says of limits is about something else."""

    def restore(self, readings: Readings, now: float) -> None:
        """See `Bucket`."""
        limit, room = readings.tokens.limit, readings.tokens.remaining
        if limit is not None and room is not None:
            self._become(self._leaky.begun_anew(limit, now, room))

    def spend(self, usage: Usage, now: float) -> None:
        """See `Bucket`."""
        self._become(self._leaky.correct(-self.estimate.taken(usage), now))

    def refused(self, failure: Failure, held: Reservation, sent: float, now: float) -> Reservation:
        """See `Bucket`. It took nothing; only a 429 of its own tells how full it is."""
        if held.is_void:
            return held
        leaky = self._leaky
        if failure.kind is FailureKind.RATE_LIMITED:
            leaky = leaky.after_refusal(failure.retry_after_s, held.tokens, held.tokens_mark, sent, now)
            if leaky.measured:  # then it is known how many may go when the throttle ends
                self.throttle = self.throttle.after_reading(self.throttle.until)
        return self._voided(leaky, held, now)

    def spilled(self, held: Reservation, now: float) -> Reservation:
        """See `Bucket`."""
        return self._voided(self._leaky, held, now)

    def settle(self, held: Reservation, ending: Ending, now: float, usage: Usage | None = None) -> None:
        """See `Bucket`. What the request took is known where its reply says so."""
        self._release(held)
        if held.is_void:
            return
        taken = held.tokens if ending in (Ending.ANSWERED, Ending.LEFT) else 0.0
        if usage is not None and usage.prompt_tokens <= MAX_REQUEST_TOKENS and usage.output_tokens <= MAX_OUTPUT_TOKENS:
            taken = self.estimate.taken(usage)
        if ending is Ending.UNSENT:
            self.requests = self.requests.refund(1.0, held.requests_mark, now)
        self._become(self._leaky.correct(held.tokens - taken, now))

    def take(self, report: BucketReport, charged: Charged, now: float) -> bool:
        """See `Bucket`. Of another replica's report the throttle counts, and how full that says that the bucket is."""
        del charged
        before, until = self.throttle, report.limited_until
        if until is not None:
            self.throttle = before.after_peer_report(until, report.unexplained, now)
            if self.throttle is not before:
                self.throttle = self.throttle.after_reading(self.throttle.until)
                self._become(self._leaky.after_peer_report(self.throttle.until, now))
        return self.throttle is not before

    def _voided(self, leaky: LeakyBucket, held: Reservation, now: float) -> Reservation:
        self._become(leaky.correct(held.tokens, now))
        return structs.replace(held, is_void=True)

    def _become(self, leaky: LeakyBucket) -> None:
        self._leaky = leaky
        self.tokens = leaky.limit_state()
