"""What is sure of a limit whose room comes back at a moment that is known to the second only.

Azure rounds its resets up to whole seconds, and so do the gateways that write a reset without a unit. In windows of a
few seconds that is much, and whether such a window is fixed or slides along no reply says. So beside the level of a
limit state, which hopes for the best, a `Window` holds what is there in any case: that decides while another bucket has
room.

- Before the earliest end of the window: what the last reply left, less all that was sent since.
- Between its earliest and its latest end: the same, but what is sent may already count in the next window.
- Windows as the providers document them (10 s for Azure's requests, minutes) are fixed ones, so all is back at the
  latest end, but for what was sent since the earliest.
- Shorter ones, and those that once gave back less than that, may slide: at the end one request is surely out of them,
  and all are when the window's length has passed without a request.
"""

from msgspec import Struct, structs

from domain.rate_limit.limit_reading import Counting, Refill

ADMISSION_S = 0.5
"""A request is let in some time after it was sent. A window that runs from then on is taken to begin as late as the
reply allows, but not later than this: a window that is thought to end too early costs a 429, too late a short wait."""
UNSAID_RESET_S = 10.0
"""How long a reading is believed that does not say when its room comes back: the shortest window a provider uses. If it
was longer, the provider's 429 will say so."""
ROUNDING_S = 1.0
SAME_WINDOW_S = ADMISSION_S + ROUNDING_S  # ends of windows no further apart than this are those of one window


class Window(Struct, frozen=True, gc=False):
    """Times are monotonic seconds, marks are sums of all charges up to a moment, see `LimitState`."""

    left: float  # the room that was left when `mark` was charged
    mark: float
    last: float  # the latest time at which any of the charges up to `mark` was sent
    opens: float  # the next window begins at this time at the earliest ...
    ends: float  # ... and at this at the latest
    opened: float | None = None  # the mark at the time `opens`; None = that was not seen to pass
    longest: float = 0.0  # the longest reset that was ever said: so long the window is at least
    most: float = 0.0  # the most that a request ever took and left: so much fits into a window at least
    turned: float | None = None
    """When this window was taken to have begun without a reply that said so; None = a reply did."""
    slides: bool = False  # did a window give back less than all, and none all at once since?
    is_test: bool = False
    """Were there requests less than a window's length before this one, so that it tells by what it gives back?"""
    is_guess: bool = False
    """Was the window before this one `turned`, too? Then it is not known well enough to learn from it."""

    @property
    def turns(self) -> float:
        """When `passed` is to be called, at the latest with the next charge."""
        return self.ends if self.opened is not None else self.opens

    def room(self, meter: Counting, limit: float | None, charged: float, now: float) -> float:
        """What is surely there at `now`, with `charged` in all. Nothing was charged after `turns`."""
        left = self.left - (charged - self.mark)
        if now < self.ends:
            return left
        whole = self.whole(limit)
        if not self.may_slide(meter):
            return whole if self.opened is None else whole - (charged - self.opened)
        # Replies that are still to come may tell of a longer window.
        is_read = charged == self.mark
        emptied = self.last + ADMISSION_S + self.longest if is_read else self.ends + max(self.longest, meter.window_s)
        if now >= emptied:
            return max(left, whole)
        return left + 1.0 if meter.is_exact else left

    def may_slide(self, meter: Counting) -> bool:
        """Is it no window as the provider documents them? Half the length tells: most replies come inside a window."""
        return self.slides or self.longest < meter.window_s / 2

    def whole(self, limit: float | None) -> float:
        """The room of a whole window, as far as is known."""
        return self.most if limit is None else min(limit, self.most)

    def passed(self, meter: Counting, limit: float | None, charged: float, now: float) -> "Window":
        """The same at `now`, which is not before `turns`; called before anything is charged at `now`."""
        if now < self.ends:
            return structs.replace(self, opened=charged)
        return Window(
            left=self.room(meter, limit, charged, now),
            mark=charged,
            last=now,
            # Where each window begins is known less well than where the one before it did.
            opens=max(now, self.opens + self.longest - ROUNDING_S),
            # How long it is may not have been seen yet: this ends with the next reply.
            ends=now + ADMISSION_S + max(self.longest, meter.window_s),
            longest=self.longest,
            most=self.most,
            turned=now,
            slides=self.slides,
            is_test=charged > self.mark or now < self.last + self.longest - ROUNDING_S,
            is_guess=self.turned is not None,
        )

    def refunded(self, amount: float, mark: float) -> "Window":
        """The provider never saw a request of that amount, whose mark is later than that of the newest reading."""
        if self.turned is not None and mark <= self.mark:
            return self
        return structs.replace(self, left=self.left + amount)


def said_end(reset_s: float | None, sent: float, now: float) -> float:
    """The latest end of a window by the reply to a request sent at `sent`; None = it names no reset."""
    return sent + min(now - sent, ADMISSION_S) + (UNSAID_RESET_S if reset_s is None else reset_s)


def length_s(meter: Counting, window: Window | None) -> float:
    """How long one is: as the provider documents it, or else as far as replies have shown."""
    if window is None or meter.refill is Refill.WINDOW:
        return meter.window_s
    return max(window.longest, ROUNDING_S)


def next_end(meter: Counting, window: Window | None, ended: float, now: float) -> float:
    """The end of the window that `now` is in, where one ended at `ended`."""
    each_s = length_s(meter, window)
    return ended + ((now - ended) // each_s + 1) * each_s


def read(
    before: Window | None,
    meter: Counting,
    amount: float,
    remaining: float,
    reset_s: float,
    sent: float,
    mark: float,
    charged: float,
    now: float,
    in_flight: float,
) -> Window:
    """The window as of a reply to the newest request that was answered, see `LimitState.after_reading`."""
    opens, ends = sent + max(0.0, reset_s - ROUNDING_S), said_end(reset_s, sent, now)
    left, last = remaining - (charged - mark), sent if charged == mark else now
    opened = mark if opens <= now else None
    window = Window(left, charged, last, opens, ends, opened, reset_s, remaining + amount)
    if before is not None:
        window = _after(before, window, meter, remaining, sent, now, in_flight)
    elif window.may_slide(meter):
        window = structs.replace(window, left=left - in_flight)
    return window


def _after(
    before: Window,
    window: Window,
    meter: Counting,
    remaining: float,
    sent: float,
    now: float,
    in_flight: float,
) -> Window:
    """The `window` as a reading has it, with what was known `before`."""
    longest, most = max(window.longest, before.longest), max(window.most, before.most)
    is_of_turned = before.turned is not None and sent >= before.turned
    left = before.left - (window.mark - before.mark)
    slides = before.slides
    if meter.is_exact and is_of_turned and not before.is_guess:
        gave_all = before.is_test and remaining + 1.0 >= before.most
        slides = remaining < left - in_flight or (slides and not gave_all)
    window = structs.replace(window, longest=longest, most=most, slides=slides)
    may_slide = window.may_slide(meter)
    if before.turned is not None and not is_of_turned and window.ends <= now and not may_slide:
        return structs.replace(before, longest=longest, most=most)  # the reading is of a window that is long over
    is_same = now < before.ends and abs(window.ends - before.ends) <= SAME_WINDOW_S
    if (is_same and left < window.left and meter.is_exact) or may_slide:
        least = window.left - in_flight
        window = structs.replace(window, left=max(least, min(left, window.left)) if is_same else least)
    return window
