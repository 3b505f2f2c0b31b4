"""What a number with a unit is without one, for the remedy of a message: `10m` of a time is 600, and not 10."""

from decimal import Decimal

_SECONDS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), Decimal("0.001")),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), Decimal(1)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), Decimal(60)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), Decimal(3_600)),
    **dict.fromkeys(("d", "day", "days"), Decimal(86_400)),
}
_COUNTS = {"k": Decimal(1_000), "m": Decimal(1_000_000), "g": Decimal(1_000_000_000)}


def without_unit(number: str, unit: str, *, is_seconds: bool) -> str:
    """The remedy for the decimal `number` that `unit` follows, letters in any case.

    `is_seconds`: the setting is a time; an unknown unit of a time is not guessed. Of other settings a unit other than
    k, M and G names what is counted (`60rpm`), and changes nothing.
    """
    factor = (_SECONDS if is_seconds else _COUNTS).get(unit.lower())
    if factor is None:
        return "write the seconds, without a unit" if is_seconds else f"write {number} without a unit"
    return f"write {(Decimal(number) * factor).normalize():f} without a unit"
