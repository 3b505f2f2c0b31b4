"""One attempt's claim on an endpoint, and what is known of the endpoint it is a claim on."""

import asyncio
from collections import Counter

from msgspec import Struct

from application.endpoints.ledger import Reservation
from domain.cooldown import FRESH, NEVER, CooldownPolicy, EndpointHealth
from domain.cooldown_report import CooldownReport
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind
from domain.rate_limit.token_estimate import Demand

WELL_S = 300.0
"""How long an endpoint that was well for one use is believed to be so when another is refused."""

SILENCE_S = 10.0
"""A shorter wait without a byte is nothing unusual: answers that are not streamed are silent until they are made."""

SILENT_REQUESTS = 3
"""After so many requests in a row that ran out of time without a byte, an endpoint is taken for one that hangs."""

NO_CHANCE_S = 1.0
"""How soon to look again where time alone opens nothing: what does open it says so."""


class Lease(Struct, eq=False):
    """One attempt's claim on an endpoint, from the pick to the last byte."""

    endpoint: Endpoint
    held: Reservation
    demand: Demand
    last_resort: bool
    started: float
    client: str = ""
    """Whose limit it is charged to, where clients bring their own keys."""
    open: bool = True
    probe_until: float = 0.0
    """The lease of the probe that this attempt is; 0 = it is none."""
    on_trial: bool = False
    """Does it count against the ramp of an endpoint that has just recovered?"""
    reached: bool = True
    """Has the provider seen the request? False = it cost nothing there."""
    refused: bool = False
    """Has it answered that it will not do this? Then it took no tokens there."""
    answered: bool = False
    """Has it been answered well?"""
    verdict: bool = False
    use: str = ""
    """The API it is asked for."""
    asked: bytes = b""
    """The body of the request: tells one request from another."""
    is_beside: bool = False
    """Is it asked for something that says little of how well it does what it is there for?"""


class EndpointState:
    """What is known of one endpoint now."""

    __slots__ = (
        "attempts", "contact", "contact_until", "endpoint", "failures", "health", "heard", "hung", "in_flight",
        "on_trial", "policy", "refuses_key", "silent", "well_at", "well_for", "withheld"
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, policy: CooldownPolicy) -> None:
        self.endpoint = endpoint
        self.policy = policy
        self.health: EndpointHealth = FRESH
        self.in_flight = 0
        self.attempts = 0
        """Since the start of this worker, also those that are under way."""
        self.failures: Counter[str] = Counter()
        """By kind, likewise."""
        self.on_trial = 0
        self.withheld = False
        """Is there nothing to authorize requests with? That is no fault of the endpoint's, and ends at once."""
        self.refuses_key = False
        """Was that the last fault of its configuration?"""
        self.hung = 0
        """Those of the silent ones that waited for at least `SILENCE_S`."""
        self.silent = 0
        """Requests in a row that ran out of time without a byte from it."""
        self.heard = False
        self.well_at = NEVER
        """When the latest request was sent that went well."""
        self.well_for: dict[str, float] = {}
        """The same, for each use."""
        self.contact = asyncio.Event()
        self.contact_until = 0.0

    def admits(self, now: float) -> bool:
        """May one more request go there?"""
        return not self.withheld and self.health.admits(now, self.on_trial)

    def opens_in_s(self, now: float) -> float:
        """Seconds until one more may go there, as far as time alone brings that; 0 = now."""
        if self.admits(now):
            return 0.0
        health = self.health
        ends = max(health.open_until, health.probe_until) - now
        return ends if ends > 0.0 and not self.withheld else NO_CHANCE_S

    def begin(self, lease: Lease, now: float) -> None:
        """A request is sent."""
        self.in_flight += 1
        self.attempts += 1
        before = self.health
        if not before.open_until and not before.ramp:
            return
        self.health = self.policy.after_start(before, now)
        if self.health is not before:
            lease.probe_until = self.health.probe_until
        if self.health.ramp:
            lease.on_trial = True
            self.on_trial += 1

    def hear(self, lease: Lease) -> None:
        """It was answered, one way or the other."""
        lease.verdict = True
        if not self.heard:
            self.heard = True
            self.contact.set()
        if lease.on_trial:
            self._end_trial(lease)

    def end(self, lease: Lease) -> None:
        """It is over; if nobody can say how it went, a probe gives its lease back."""
        self.in_flight -= 1
        if lease.on_trial:
            self._end_trial(lease)
        if lease.verdict:
            return
        if lease.probe_until:
            self.health = self.policy.after_abandon(self.health, lease.probe_until)
        self.contact.set()

    def thrive(self, lease: Lease) -> None:
        """The request was answered well."""
        self.health = self.policy.after_success(self.health, lease.started)
        self.well_at = max(self.well_at, lease.started)
        self.well_for[lease.use] = self.well_at

    def is_well_for_others(self, lease: Lease, now: float) -> bool:
        """It refuses this use; has another gone well lately, and not been refused since?"""
        self.well_for.pop(lease.use, None)
        return any(now - well_at < WELL_S for well_at in self.well_for.values())

    def report(self) -> CooldownReport:
        """What was found out here."""
        return self.policy.report(self.health)

    def take(self, report: CooldownReport, now: float) -> bool:
        """Another replica says so: does it change anything?"""
        before = self.health
        self.health = self.policy.after_report(before, report, now, self.well_at)
        return self.health is not before

    def of_silence(self, failure: Failure, waited_s: float) -> Failure:
        """One request that runs out of time says little, several in a row say more. A short wait, of an impatient
        client, says nothing of the endpoint: others may well wait for it."""
        self.silent += 1
        self.hung += waited_s >= SILENCE_S
        if self.hung < SILENT_REQUESTS:
            return failure
        self.silent = self.hung = 0
        return Failure(FailureKind.FIRST_BYTE_TIMEOUT, f"{SILENT_REQUESTS} requests in a row without a byte")

    def _end_trial(self, lease: Lease) -> None:
        lease.on_trial = False
        self.on_trial -= 1
