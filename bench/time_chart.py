"""A panel for each of many metrics over minutes, in the look of `charts.py`."""

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from bench.charts import WIDTH, svg

_COLUMNS = 2
_WIDTH, _HEIGHT = WIDTH // _COLUMNS, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 30, 26


class Panel(NamedTuple):
    """One metric. `band` holds the least and the most of each point; `trend` is a line from the first to the last of
    its own points, None = none is drawn."""

    title: str
    minutes: Sequence[float]
    values: Sequence[float]
    band: Sequence[tuple[float, float]]
    trend: tuple[tuple[float, float], tuple[float, float]] | None = None


def time_chart(title: str, panels: Sequence[Panel], warm_up_minutes: float) -> str:
    """A whole SVG document. A dashed line stands where the warm-up ends."""
    drawn = [f'<text class="title" x="16" y="22">{escape(title)}</text>']
    for number, panel in enumerate(panels):
        x, y = number % _COLUMNS * _WIDTH, 34 + number // _COLUMNS * _HEIGHT
        drawn.append(f'<g transform="translate({x},{y})">{_drawn(panel, warm_up_minutes)}</g>')
    return svg(title, 34 + -(-len(panels) // _COLUMNS) * _HEIGHT, drawn)


def _drawn(panel: Panel, warm_up_minutes: float) -> str:
    head = f'<text class="faint" x="{_LEFT}" y="20">{escape(panel.title)}</text>'
    if not panel.minutes:
        return head
    end = max(panel.minutes[-1], 1e-9)
    low, high = min(least for least, _ in panel.band), max(most for _, most in panel.band)
    room = max((high - low) * 0.08, abs(high) * 0.002, 0.5)
    low, high = max(0.0, low - room) if low >= 0 else low - room, high + room

    def at(minute: float, value: float) -> tuple[float, float]:
        x = _LEFT + minute / end * (_WIDTH - _LEFT - _RIGHT)
        return x, _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def path(points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))

    band = list(zip(panel.minutes, panel.band, strict=True))
    around = [(minute, most) for minute, (_, most) in band] + [(minute, least) for minute, (least, _) in reversed(band)]
    warm = min(warm_up_minutes, end)
    lines = [
        f'<polygon class="c0" opacity="0.25" points="{path(around)}"/>',
        f'<polyline class="c0 line" points="{path(list(zip(panel.minutes, panel.values, strict=True)))}"/>',
        f'<polyline class="limit" points="{path([(warm, low), (warm, high)])}"/>',
        f'<text class="faint" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">{end:.0f} min</text>',
    ]
    if panel.trend is not None:
        lines.append(f'<polyline class="c3 line" stroke-dasharray="4 3" points="{path(panel.trend)}"/>')
    return "".join([head, *(_mark(value, at(0, value)[1]) for value in (low, (low + high) / 2, high)), *lines])


def _mark(value: float, y: float) -> str:
    size, unit = next(((size, unit) for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")) if value >= size), (1.0, ""))
    shown = f"{value / (1000 if unit == 'k' else size):.4g}{unit}"
    line = f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text class="faint" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{shown}</text>'
