"""The timeline of a run as SVG, written by hand: no script, no font, and the colours of the reader's theme.

From the top: answers by endpoint, one on the other, with errors to clients on top; for each endpoint the room that its
limits had left, its cooldowns and its 429s; requests that wait.
"""

from collections.abc import Sequence
from math import ceil, floor, log10
from xml.sax.saxutils import escape, quoteattr

from entrypoints.simulate.report.figures import EndpointLine, Report

_WIDTH, _LEFT, _RIGHT = 860, 150, 840
_ANSWERS_TOP, _ANSWERS_HEIGHT = 78, 170
_ROW, _ROW_GAP, _BETWEEN = 22, 10, 34
_WAITING_HEIGHT = 48
_NAME_LETTERS = 17
_LIGHT = ("#0969da", "#8250df", "#1a7f37", "#bf8700", "#0a7ea4", "#bc4c00", "#6e7781")
_DARK = ("#58a6ff", "#bc8cff", "#3fb950", "#d29922", "#39c5cf", "#f0883e", "#8b949e")


def timeline_svg(report: Report) -> str:
    """A whole document. Many endpoints share the colours in turn."""
    lines, part_s = report.timeline.endpoints, report.timeline.part_s
    rows_top = _ANSWERS_TOP + _ANSWERS_HEIGHT + _BETWEEN
    waiting_top = rows_top + len(lines) * (_ROW + _ROW_GAP) + _BETWEEN - _ROW_GAP
    bottom = waiting_top + _WAITING_HEIGHT
    axis = _Axis(part_s, len(report.timeline.waiting))
    drawn = [
        *_head(report),
        *_answers(report, axis),
        *(
            each
            for number, line in enumerate(lines)
            for each in _row(line, number, rows_top + number * (_ROW + _ROW_GAP), report, axis)
        ),
        _label(rows_top - 8, "room left in its limits; cooldowns; 429s"),
        *_waiting(report.timeline.waiting, waiting_top, axis),
        *axis.drawn(bottom),
    ]
    title = f"Simulated: {report.source.config}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 34}" width="{_WIDTH}" '
        f'height="{bottom + 34}" role="img" aria-label={quoteattr(title)}>\n<style>\n{_STYLE}\n</style>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


class _Axis:
    """Time to pixels, in the parts of the timeline."""

    def __init__(self, part_s: float, parts: int) -> None:
        self._part_s = part_s
        self._parts = parts

    def x(self, part: float) -> float:
        """Where a part begins."""
        return _LEFT + (_RIGHT - _LEFT) * min(part, self._parts) / self._parts

    def at(self, seconds: float) -> float:
        """Where a time is."""
        return self.x(seconds / self._part_s)

    def drawn(self, bottom: float) -> list[str]:
        """Times below the picture."""
        minutes = self._part_s * self._parts / 60
        step = _round_step(minutes, 6)
        marks = [step * number for number in range(floor(minutes / step + 1e-9) + 1)]
        return [
            f'<text class="faint" x="{self.at(60 * mark):.1f}" y="{bottom + 20}" text-anchor="middle">{mark:g} m</text>'
            for mark in marks
        ]


def _head(report: Report) -> list[str]:
    source, totals, waits = report.source, report.totals, report.waits
    said = f"{totals.requests:,} requests in {source.minutes:g} minutes: {source.traffic}"
    more = (
        f"429s: {totals.received_429s:,} from providers, {totals.client_429s:,} to clients "
        f"({totals.blind_429s:,} by weights alone); {waits.count:,} waited, p99 {waits.p99_s:.1f} s; "
        f"errors to clients: {totals.client_errors:,}"
    )
    return [
        f'<text class="title" x="16" y="24">{escape(said)}</text>',
        f'<text class="faint" x="16" y="44">{escape(more)}</text>',
    ]


def _answers(report: Report, axis: _Axis) -> list[str]:
    """Stacked steps, in answers a second."""
    part_s, errors = report.timeline.part_s, report.timeline.client_errors
    stacks = [[count / part_s for count in line.answered] for line in report.timeline.endpoints]
    stacks.append([count / part_s for count in errors])
    most = max(map(sum, zip(*stacks, strict=True))) or 1.0
    step = _round_step(most, 4)
    top = step * ceil(most / step)
    bottom = _ANSWERS_TOP + _ANSWERS_HEIGHT
    drawn = [_label(_ANSWERS_TOP - 8, "answers a second, by endpoint; errors to clients")]
    for number in range(round(top / step) + 1):
        y = bottom - _ANSWERS_HEIGHT * number * step / top
        drawn.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>')
        drawn.append(f'<text class="faint" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number * step:g}</text>')
    below = [0.0] * len(errors)
    for number, stack in enumerate(stacks):
        above = [low + height for low, height in zip(below, stack, strict=True)]
        colour = "bad" if number == len(stacks) - 1 else f"c{number % len(_LIGHT)}"
        if any(stack):
            drawn.append(f'<path class="{colour}" d="{_band(below, above, top, bottom, axis)}"/>')
        below = above
    return drawn


def _band(below: Sequence[float], above: Sequence[float], top: float, bottom: float, axis: _Axis) -> str:
    def steps(levels: Sequence[float], order: Sequence[int]) -> str:
        ys = [bottom - _ANSWERS_HEIGHT * level / top for level in levels]
        ends = (0, 1) if order[0] == 0 else (1, 0)
        return "".join(f"L{axis.x(n + ends[0]):.1f} {ys[n]:.1f}H{axis.x(n + ends[1]):.1f}" for n in order)

    forth = list(range(len(above)))
    return "M" + steps(above, forth)[1:] + steps(below, forth[::-1]) + "Z"


def _row(line: EndpointLine, number: int, top: float, report: Report, axis: _Axis) -> list[str]:
    """The name, a bar for each part as high as what was left, a band for each cooldown, a mark for 429s."""
    colour = f"c{number % len(_LIGHT)}"
    name = line.endpoint if len(line.endpoint) <= _NAME_LETTERS else line.endpoint[: _NAME_LETTERS - 1] + "…"
    drawn = [
        f'<rect class="{colour}" x="16" y="{top + 5}" width="12" height="12" rx="2"/>',
        f'<text x="34" y="{top + 15}">{escape(name)}</text>',
        f'<rect class="track" x="{_LEFT}" y="{top}" width="{_RIGHT - _LEFT}" height="{_ROW}"/>',
    ]
    ys = [top + _ROW * (1 - left) for left in line.room_left]
    area = "".join(f"L{axis.x(n):.1f} {y:.1f}H{axis.x(n + 1):.1f}" for n, y in enumerate(ys))
    drawn.append(f'<path class="{colour} room" d="M{_LEFT} {top + _ROW}{area}V{top + _ROW}Z"/>')
    later = (each.tier for each in report.tiers if line.endpoint in each.endpoints and each.tier != "first")
    drawn += [f'<text class="faint" x="{_LEFT + 6}" y="{top + 15}">{escape(tier)}</text>' for tier in later]
    end_s = report.timeline.part_s * len(line.answered)
    for cooldown in report.cooldowns:
        if cooldown.endpoint == line.endpoint and cooldown.from_s < end_s:
            x, until = axis.at(cooldown.from_s), axis.at(end_s if cooldown.until_s is None else cooldown.until_s)
            told = escape(f"{line.endpoint} cools: {cooldown.why}")
            box = f'x="{x:.1f}" y="{top}" width="{max(2.0, until - x):.1f}" height="{_ROW}"'
            drawn.append(f'<rect class="cooling" {box}><title>{told}</title></rect>')
    marks = "".join(f"M{axis.x(n + 0.5):.1f} {top + _ROW - 5}v8" for n, count in enumerate(line.received_429s) if count)
    if marks:
        drawn.append(f'<path class="mark" d="{marks}"/>')
    return drawn


def _waiting(waiting: Sequence[int], top: float, axis: _Axis) -> list[str]:
    most, bottom = max(waiting), top + _WAITING_HEIGHT
    drawn = [
        _label(top - 8, f"requests that wait for room (most: {most:,})"),
        f'<path class="grid" d="M{_LEFT} {bottom}H{_RIGHT}"/>',
    ]
    if most:
        ys = [bottom - _WAITING_HEIGHT * count / most for count in waiting]
        area = "".join(f"L{axis.x(n):.1f} {y:.1f}H{axis.x(n + 1):.1f}" for n, y in enumerate(ys))
        drawn.append(f'<path class="waiting" d="M{_LEFT} {bottom}{area}V{bottom}Z"/>')
    return drawn


def _label(y: float, text: str) -> str:
    return f'<text class="faint" x="{_LEFT}" y="{y}">{escape(text)}</text>'


def _round_step(most: float, marks: int) -> float:
    """A round number that fits into `most` about so many times."""
    unit = 10 ** floor(log10(most / marks)) if most > 0 else 1.0
    return float(next(unit * part for part in (1, 2, 5, 10) if most / (unit * part) <= marks))


def _theme(text: str, faint: str, grid: str, track: str, bad: str, colours: Sequence[str]) -> str:
    """Spelled out for each colour: not every viewer knows CSS variables."""
    own = " ".join(f".c{number} {{ fill: {colour} }}" for number, colour in enumerate(colours))
    return (
        f"text {{ fill: {text} }} .faint {{ fill: {faint} }} .grid {{ stroke: {grid} }} .track {{ fill: {track} }} "
        f".bad, .cooling {{ fill: {bad} }} .mark {{ stroke: {bad} }} .waiting {{ fill: {faint} }} {own}"
    )


_STYLE = f"""\
  text {{ font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }}
  .title {{ font-size: 15px; font-weight: 600 }} .faint {{ font-size: 12px }}
  .room {{ opacity: 0.55 }} .cooling {{ opacity: 0.5 }} .mark {{ stroke-width: 2; fill: none }} .grid {{ fill: none }}
  {_theme("#24292f", "#57606a", "#d0d7de", "#f0f2f4", "#cf222e", _LIGHT)}
  @media (prefers-color-scheme: dark) {{
    {_theme("#e6edf3", "#9198a1", "#30363d", "#161b22", "#ff7b72", _DARK)}
  }}"""
