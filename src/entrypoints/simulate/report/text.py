"""The report for people: on a terminal drawn, elsewhere as plain lines."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TextIO

from entrypoints.cli.tables import print_columns
from entrypoints.simulate.report.figures import EndpointFigures, Report
from entrypoints.simulate.report.tiers import TierFigures

_HEADERS = ("endpoint", "weight", "wanted", "got", "answered", "attempts", "429s", "cooling", "failures")
_OF_TIERS = ("tier", "endpoints", "answered", "share", "used when the next was asked")
_OF_LIMITS = ("endpoint", "peak rpm", "peak tpm", "tokens/min in", "out")


def print_report(report: Report, stream: TextIO) -> None:
    """Totals, a table of the endpoints, and the cooldowns."""
    for line in _totals(report):
        print(line, file=stream)
    several = len(report.groups) > 1
    names = [f"{each.group}: {each.endpoint}" if several else each.endpoint for each in report.endpoints]
    named = list(zip(names, report.endpoints, strict=True))
    print_columns("Endpoints", _HEADERS, [(name, *_row(figures)) for name, figures in named], stream)
    tiers = [(f"{each.group}: {each.tier}" if several else each.tier, *_tier(each)) for each in report.tiers]
    print_columns("Tiers", _OF_TIERS, tiers, stream)
    print_columns("Limits", _OF_LIMITS, [(name, *_limits(figures)) for name, figures in named], stream)
    unlimited = [name for name, figures in named if figures.rpm is None and figures.tpm is None]
    if unlimited:
        print(f"Without a limit: {', '.join(unlimited)}; rpm and tpm in the file, or --limits, give one", file=stream)
    cooldowns = [
        (
            each.endpoint,
            clock(each.from_s),
            "the end" if each.until_s is None else clock(each.until_s),
            _why(each.why, each.times),
        )
        for each in report.cooldowns
    ]
    if not cooldowns:
        print("No endpoint cooled.", file=stream)
    print_columns("Cooldowns", ("endpoint", "from", "until", "why"), cooldowns, stream)


def print_comparison(reports: Sequence[Report], stream: TextIO) -> None:
    """The same figures of several configurations beside each other."""
    shares = [{figures.endpoint: f"{figures.got_share:.1f} %" for figures in report.endpoints} for report in reports]
    rows = [(label, *map(shown, reports)) for label, shown in _COMPARED.items()]
    names = dict.fromkeys(name for of in shares for name in of)
    rows += [(f"share of {name}", *(of.get(name, "") for of in shares)) for name in names]
    print_columns("Comparison", ("", *(report.source.config for report in reports)), rows, stream)


_COMPARED: Mapping[str, Callable[[Report], str]] = MappingProxyType(
    {
        "answered": lambda report: f"{report.totals.answered:,} of {report.totals.requests:,}",
        "errors to clients": lambda report: f"{report.totals.client_errors:,}",
        "429s to clients": lambda report: f"{report.totals.client_429s:,}",
        "429s from providers": lambda report: f"{report.totals.received_429s:,}",
        "waited": lambda report: f"{report.waits.count:,}, p99 {report.waits.p99_s:.2f} s",
        "answers took": lambda report: f"p50 {report.durations.p50_s:.2f} s, p99 {report.durations.p99_s:.2f} s",
        "retries": lambda report: f"{report.totals.retries:,}",
        "cooldowns": lambda report: f"{len(report.cooldowns)}",
    }
)


def _totals(report: Report) -> Sequence[str]:
    source, totals, waits, took = report.source, report.totals, report.waits, report.durations
    return [
        f"{source.config}, {source.minutes:g} minutes, {source.traffic}, seed {source.seed}",
        f"requests: {totals.requests:,}; answered: {totals.answered:,}; errors to clients: {totals.client_errors:,}"
        + "".join(f"; {code}: {count:,}" for group in report.groups for code, count in group.errors.items()),
        f"429s: {totals.received_429s:,} from providers, {totals.client_429s:,} to clients; by weights alone it would "
        f"have been {totals.blind_429s:,}",
        f"avoided: {totals.avoided_429s:,} ({totals.routed_round:,} routed round a limit, {waits.count:,} waited: "
        f"p50 {waits.p50_s:.2f} s, p99 {waits.p99_s:.2f} s, longest {waits.max_s:.2f} s)",
        f"answers took: p50 {took.p50_s:.2f} s, p99 {took.p99_s:.2f} s; attempts: {totals.attempts:,}, "
        f"of them retries: {totals.retries:,}",
    ]


def _row(figures: EndpointFigures) -> tuple[str, ...]:
    return (
        str(figures.weight),
        f"{figures.wanted_share:.1f} %",
        f"{figures.got_share:.1f} %",
        f"{figures.requests:,}",
        f"{figures.attempts:,}",
        f"{figures.received_429s:,}",
        f"{figures.cooling_s:.0f} s" if figures.cooldowns else "",
        ", ".join(f"{kind} {count:,}" for kind, count in figures.failures.items()),
    )


def _tier(figures: TierFigures) -> tuple[str, ...]:
    return (
        ", ".join(figures.endpoints),
        f"{figures.requests:,}",
        f"{figures.share:.1f} %",
        "" if figures.used_at_spill is None else f"{figures.used_at_spill:.1f} %",
    )


def _limits(figures: EndpointFigures) -> tuple[str, ...]:
    return (
        _against(figures.peak_rpm, figures.rpm),
        _against(figures.peak_tpm, figures.tpm),
        f"{figures.given_tokens_per_minute:,.0f}",
        f"{figures.answered_tokens_per_minute:,.0f}",
    )


def _against(peak: int, limit: int | None) -> str:
    return f"{peak:,}" if limit is None else f"{peak:,} of {limit:,}"


def _why(why: str, times: int) -> str:
    return why if times == 1 else f"{why}; again after {times - 1} failed probe(s)"


def clock(seconds: float) -> str:
    """A time of the run, as minutes and seconds."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"
