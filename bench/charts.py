"""Charts as SVG, written by hand: bars, and percentile curves. They follow the reader's light or dark theme."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

from bench.load.distribution import Curve

WIDTH = 760
_LIGHT = ("#0969da", "#9a6700", "#8250df", "#cf222e", "#1a7f37")
_DARK = ("#58a6ff", "#d29922", "#bc8cff", "#ff7b72", "#3fb950")
_COLOURS = len(_LIGHT)


def _theme(text: str, faint: str, grid: str, plain: str, colours: Sequence[str]) -> str:
    """Spelled out for each colour: not every viewer knows CSS variables."""
    lines = [
        f"text {{ fill: {text} }} .faint {{ fill: {faint} }} .grid {{ stroke: {grid} }} .limit {{ stroke: {faint} }}"
    ]
    for kind, colour in [("plain", plain), *((f"c{number}", colour) for number, colour in enumerate(colours))]:
        lines.append(f".{kind} {{ fill: {colour} }} .{kind}.line {{ fill: none; stroke: {colour} }}")
    return "\n    ".join(lines)


_STYLE = f"""\
  text {{ font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }}
  .title {{ font-size: 15px; font-weight: 600 }} .faint {{ font-size: 12px }} .name {{ font-weight: 600 }}
  .limit {{ stroke-dasharray: 5 4 }} .line {{ stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round }}
    {_theme("#24292f", "#6e7781", "#d0d7de", "#8c959f", _LIGHT)}
  @media (prefers-color-scheme: dark) {{
    {_theme("#e6edf3", "#8b949e", "#30363d", "#6e7681", _DARK)}
  }}"""
_TICKS = ((50.0, "50 %"), (90.0, "90 %"), (99.0, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %"))
_LAST = 99.99


class Bar(Struct, frozen=True):
    """One bar. `plain` = something to compare with, not what the chart is about."""

    name: str
    value: float
    label: str
    plain: bool = False


class Line(Struct, frozen=True):
    """One percentile curve, in ms."""

    name: str
    points: Curve
    plain: bool = False


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars from zero, the longest as wide as there is room."""
    left, room, step, top = 150, WIDTH - 150 - 130, 34, 48
    longest = max((bar.value for bar in bars), default=1.0) or 1.0
    drawn = [f'<text class="title" x="16" y="26">{escape(title)}</text>']
    colour = 0
    for number, bar in enumerate(bars):
        y = top + number * step
        width = max(1.5, room * bar.value / longest)
        kind = "plain" if bar.plain else f"c{colour % _COLOURS}"
        colour += not bar.plain
        drawn += [
            f'<text x="{left - 10}" y="{y + 17}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect class="{kind}" x="{left}" y="{y}" width="{width:.1f}" height="24" rx="3"/>',
            f'<text x="{left + width + 8:.1f}" y="{y + 17}">{escape(bar.label)}</text>',
        ]
    return svg(title, top + len(bars) * step + 10, drawn)


def percentile_chart(title: str, lines: Sequence[Line], limit: tuple[float, str] | None = None) -> str:
    """Percentiles to the right, spread so that each further nine is as wide as the one before; ms upwards.

    The scale is logarithmic where the lines are far apart. `limit` draws a dashed line with a name.
    """
    left, right, top, bottom, height = 62, WIDTH - 130, 52, 300, 344
    shown = [(line, [(p, ms) for p, ms in line.points if 50 <= p <= _LAST]) for line in lines if line.points]
    values = [ms for _, points in shown for _, ms in points] + ([limit[0]] if limit else [])
    scale = _Scale.over(values, top, bottom)
    drawn = [f'<text class="title" x="16" y="26">{escape(title)}</text>']
    for mark in scale.marks():
        y = scale.y(mark)
        drawn.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="faint" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{_ms(mark)}</text>')
    for percent, name in _TICKS:
        x = _x(percent, left, right)
        drawn.append(f'<text class="faint" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{name}</text>')
    if limit:
        y = scale.y(limit[0])
        drawn.append(f'<line class="limit" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="faint" x="{left + 6}" y="{y + 16:.1f}">{escape(limit[1])}</text>')
    drawn += _drawn_lines(shown, scale, left, right)
    return svg(title, height, drawn)


class _Scale(Struct, frozen=True):
    """Milliseconds to pixels."""

    low: float
    high: float
    top: float
    bottom: float
    logarithmic: bool

    @staticmethod
    def over(values: Sequence[float], top: float, bottom: float) -> "_Scale":
        least, most = max(min(values, default=0.1), 0.01), max(max(values, default=1.0), 0.02)
        if most / least > 30:
            return _Scale(10 ** math.floor(math.log10(least)), 10 ** math.ceil(math.log10(most)), top, bottom, True)
        step = _step(most)
        return _Scale(0.0, step * math.ceil(most / step), top, bottom, False)

    def y(self, value: float) -> float:
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = value / self.high
        return self.bottom - (self.bottom - self.top) * share

    def marks(self) -> list[float]:
        if self.logarithmic:
            return [self.low * 10**n for n in range(round(math.log10(self.high / self.low)) + 1)]
        step = _step(self.high)
        return [step * n for n in range(round(self.high / step) + 1)]


def _step(most: float) -> float:
    """A round number, of which four to eight reach `most`."""
    unit = math.pow(10, math.floor(math.log10(most)))
    return next((unit * part for part in (0.125, 0.25, 0.5, 1) if most / (unit * part) <= 8), unit)


def _x(percent: float, left: float, right: float) -> float:
    """As many pixels for 90 to 99 % as for 99 to 99.9 %, as HdrHistogram draws it."""
    nines = math.log10(100 / max(100 - percent, 100 - _LAST))
    first, last = math.log10(2), math.log10(100 / (100 - _LAST))
    return left + (right - left) * (nines - first) / (last - first)


def _drawn_lines(
    shown: Sequence[tuple[Line, list[tuple[float, float]]]], scale: _Scale, left: float, right: float
) -> list[str]:
    drawn = []
    colour = 0
    names: list[tuple[float, str]] = []
    for line, points in shown:
        kind = "plain" if line.plain else f"c{colour % _COLOURS}"
        colour += not line.plain
        path = " ".join(f"{_x(percent, left, right):.1f},{scale.y(ms):.1f}" for percent, ms in points)
        drawn.append(f'<polyline class="{kind} line" points="{path}"/>')
        names.append((scale.y(points[-1][1]), f'class="{kind} name" x="{right + 10}">{escape(line.name)}'))
    lowest = -math.inf
    for y, text in sorted(names):  # names that would lie on each other move down
        lowest = max(y, lowest + 17)
        drawn.append(text.replace("class=", f'<text y="{lowest + 4:.1f}" class=', 1) + "</text>")
    return drawn


def _ms(value: float) -> str:
    return f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s"


def svg(title: str, height: int, drawn: Sequence[str]) -> str:
    """A whole document, in the one style."""
    body = "\n  ".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">\n'
        f"<style>\n{_STYLE}\n</style>\n  {body}\n</svg>\n"
    )
