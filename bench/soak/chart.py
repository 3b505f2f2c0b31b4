"""Charts as plain SVG: a panel for each metric, the least and most of each block as a band, the trend as a line."""

from collections.abc import Sequence
from typing import NamedTuple

_WIDTH, _HEIGHT = 420, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 30, 26
_COLUMNS = 2
_INK, _PALE, _BAND, _LINE, _TREND = "#24292f", "#d0d7de", "#b6d4fe", "#0a58ca", "#cf222e"


class Panel(NamedTuple):
    """One metric over minutes. `band` holds the least and the most of each point; `trend` is a line from the first of
    its points to the last, None = none is drawn."""

    title: str
    minutes: Sequence[float]
    values: Sequence[float]
    band: Sequence[tuple[float, float]]
    trend: tuple[tuple[float, float], tuple[float, float]] | None = None


def chart(title: str, panels: Sequence[Panel], warm_up_minutes: float) -> str:
    """A whole SVG document. What lies before `warm_up_minutes` is shaded."""
    rows = -(-len(panels) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, 34 + rows * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="12" y="22" font-size="14" fill="{_INK}">{_escaped(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        x, y = number % _COLUMNS * _WIDTH, 34 + number // _COLUMNS * _HEIGHT
        parts.append(f'<g transform="translate({x},{y})">{_drawn(panel, warm_up_minutes)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _drawn(panel: Panel, warm_up_minutes: float) -> str:
    if not panel.minutes:
        return f'<text x="{_LEFT}" y="20" fill="{_INK}">{_escaped(panel.title)}: nothing was measured</text>'
    end = max(panel.minutes[-1], 1e-9)
    least, most = _range(panel)

    def x(minute: float) -> float:
        return _LEFT + minute / end * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - least) / (most - least) * (_HEIGHT - _TOP - _BOTTOM)

    upper = [f"{x(m):.1f},{y(high):.1f}" for m, (_, high) in zip(panel.minutes, panel.band, strict=True)]
    lower = [f"{x(m):.1f},{y(low):.1f}" for m, (low, _) in zip(panel.minutes, panel.band, strict=True)]
    line = [f"{x(m):.1f},{y(v):.1f}" for m, v in zip(panel.minutes, panel.values, strict=True)]
    shade = max(0.0, x(min(warm_up_minutes, end)) - _LEFT)
    parts = [
        f'<text x="{_LEFT}" y="20" fill="{_INK}">{_escaped(panel.title)}</text>',
        f'<rect x="{_LEFT}" y="{_TOP}" width="{shade:.1f}" height="{_HEIGHT - _TOP - _BOTTOM}" fill="#f6f8fa"/>',
        *(_grid(value, y(value)) for value in (least, (least + most) / 2, most)),
        f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{_BAND}"/>',
        f'<polyline points="{" ".join(line)}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>',
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}" fill="{_INK}">0</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" fill="{_INK}" text-anchor="end">{end:.0f} min</text>',
    ]
    if panel.trend is not None:
        (x1, y1), (x2, y2) = panel.trend
        parts.append(
            f'<line x1="{x(x1):.1f}" y1="{y(y1):.1f}" x2="{x(x2):.1f}" y2="{y(y2):.1f}" stroke="{_TREND}" '
            'stroke-dasharray="4 3" stroke-width="1.5"/>'
        )
    return "".join(parts)


def _range(panel: Panel) -> tuple[float, float]:
    """With some room, and never nothing high."""
    low = min(low for low, _ in panel.band)
    high = max(high for _, high in panel.band)
    room = max((high - low) * 0.08, abs(high) * 0.002, 0.5)
    return max(0.0, low - room) if low >= 0 else low - room, high + room


def _grid(value: float, height: float) -> str:
    return (
        f'<line x1="{_LEFT}" y1="{height:.1f}" x2="{_WIDTH - _RIGHT}" y2="{height:.1f}" stroke="{_PALE}"/>'
        f'<text x="{_LEFT - 6}" y="{height + 4:.1f}" fill="{_INK}" text-anchor="end">{_shown(value)}</text>'
    )


def _shown(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1000 if unit == 'k' else size):.4g}{unit}"
    return f"{value:.4g}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
