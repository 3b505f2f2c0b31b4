"""`python -m bench.load.steady_client --url URL --rate 1000 ...`: so many requests a second, each when it is due.

Open loop: a request is sent at its moment, whether or not earlier ones are answered, on an idle connection or a new
one. Its latency counts from that moment and not from when it was sent, so a stall shows in every request that it
delays, also where this program itself was held up ("coordinated omission", Gil Tene).

Why not vegeta, wrk2, oha or k6: their timers (Go's, Tokio's, Redis' ae) wake in whole milliseconds. Measured from when
they are due, vegeta's requests at 1,000/s are sent 0.5 ms late at the median and 1 ms at p90, and the budget is 0.4 ms.
A timer of the kernel (timerfd) is right to some hundredths.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from array import array
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop

from bench.load.distribution import curve
from bench.load.kernel_timer import tick
from bench.wire import head_of

_CONNECTIONS = 64
"""Opened before the first request; more when all are in use."""

_PATIENCE_S = 20.0


class Schedule:
    """When each request is due, and what became of it."""

    def __init__(self, rate: int, requests: int, uncounted: int) -> None:
        self.period_s = 1 / rate
        self.requests = requests
        self._uncounted = uncounted
        self.began = 0.0
        self.sent = 0
        self.answered = 0
        self.latencies_ms = array("d")
        self.late_ms = array("d")
        self.errors: dict[str, int] = {}
        self.last_answer = 0.0
        self.all_answered = asyncio.Event()

    def due(self, number: int) -> float:
        """The moment of a request, by the monotonic clock."""
        return self.began + number * self.period_s

    def is_sent(self, number: int, now: float) -> None:
        """It leaves now."""
        self.sent += 1
        if number >= self._uncounted:
            self.late_ms.append((now - self.due(number)) * 1000)

    def is_over(self, number: int, problem: str | None) -> None:
        """It has its answer, or will have none."""
        self.answered += 1
        self.last_answer = time.monotonic()
        if problem is not None:
            self.errors[problem] = self.errors.get(problem, 0) + 1
        elif number >= self._uncounted:
            self.latencies_ms.append((self.last_answer - self.due(number)) * 1000)
        if self.answered == self.requests:
            self.all_answered.set()


class Connection(asyncio.Protocol):
    """One request at a time; `first` is sent as soon as it is open."""

    def __init__(self, schedule: Schedule, idle: list["Connection"], first: tuple[int, bytes] | None = None) -> None:
        self._schedule = schedule
        self._idle = idle
        self._first = first
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._number: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._first is None:
            self._idle.append(self)
        else:
            self.ask(*self._first)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._transport = None
        if self in self._idle:
            self._idle.remove(self)
        self._over("no_answer")

    def ask(self, number: int, request: bytes) -> None:
        """Send a request. The connection is not idle until it is answered."""
        self._number = number
        self._schedule.is_sent(number, time.monotonic())
        if self._transport is not None:
            self._transport.write(request)

    def close(self) -> None:
        """It is not needed any more."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_message_complete(self) -> None:
        self._over(None if self._parser.get_status_code() == 200 else "status")
        if self._transport is not None and self._parser.should_keep_alive():
            self._parser = httptools.HttpResponseParser(self)
            self._idle.append(self)
        elif self._transport is not None:
            self._transport.close()

    def _over(self, problem: str | None) -> None:
        if self._number is not None:
            number, self._number = self._number, None
            self._schedule.is_over(number, problem)


class Sender:
    """Sends what is due whenever the timer says so."""

    def __init__(self, schedule: Schedule, idle: list[Connection], requests: list[bytes], port: int) -> None:
        self._schedule = schedule
        self._idle = idle
        self._requests = requests
        self._port = port
        self._next = 0
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def done(self) -> bool:
        """Is everything sent?"""
        return self._next == self._schedule.requests

    def send_due(self) -> None:
        """All whose moment has come."""
        schedule = self._schedule
        now = time.monotonic()
        while not self.done and schedule.due(self._next) <= now:
            number, self._next = self._next, self._next + 1
            request = self._requests[number % len(self._requests)]
            if self._idle:
                self._idle.pop().ask(number, request)
            else:
                task = asyncio.ensure_future(self._open_for(number, request))
                self._opening.add(task)
                task.add_done_callback(self._opening.discard)
            now = time.monotonic()

    async def _open_for(self, number: int, request: bytes) -> None:
        try:
            await opened(self._schedule, self._idle, self._port, (number, request))
        except OSError:
            self._schedule.is_over(number, "connect")


async def opened(schedule: Schedule, idle: list[Connection], port: int, first: tuple[int, bytes] | None = None) -> None:
    """One more connection."""
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: Connection(schedule, idle, first), "127.0.0.1", port)


async def run(
    url: str, headers: Mapping[str, str], bodies: list[bytes], rate: int, seconds: float
) -> dict[str, object]:
    """All of it. The first second is sent and not counted."""
    schedule = Schedule(rate, round((seconds + 1) * rate), uncounted=rate)
    idle: list[Connection] = []
    port, path = urlsplit(url).port or 80, urlsplit(url).path
    for _ in range(_CONNECTIONS):
        await opened(schedule, idle, port)
    requests = [head_of("POST", path, headers, len(body)) + body for body in bodies]
    sender = Sender(schedule, idle, requests, port)
    schedule.began = time.monotonic() + 0.05
    end = tick(schedule.began, schedule.period_s, sender.send_due)
    try:
        await asyncio.wait_for(schedule.all_answered.wait(), seconds + 1 + _PATIENCE_S)
    except TimeoutError:
        schedule.errors["timeout"] = schedule.requests - schedule.answered
    end()
    for connection in tuple(idle):
        connection.close()
    counted = schedule.last_answer - schedule.due(rate)
    return {
        "requests": len(schedule.latencies_ms),
        "rps": len(schedule.latencies_ms) / counted if counted > 0 else 0.0,
        "errors": schedule.errors,
        "curve": curve(schedule.latencies_ms),
        "late": curve(schedule.late_ms),
    }


def main() -> None:
    """Reads what to send from standard input: `{"headers": {...}, "bodies": ["...", ...]}`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    told = json.load(sys.stdin)
    bodies = [body.encode() for body in told["bodies"]]
    gc.disable()  # there is nothing to collect, and looking for it would be a pause
    json.dump(uvloop.run(run(options.url, told["headers"], bodies, options.rate, options.seconds)), sys.stdout)


if __name__ == "__main__":
    main()
