"""docs/reliability.md, made of the results: no figure and no verdict is written by hand."""

from collections.abc import Iterable

from bench.faults.case import Figure
from bench.faults.results import Result, Results
from bench.servers.children import ROOT

PAGE = ROOT / "docs/reliability.md"

_HEAD = """\
# Reliability

What happens when something fails. Each case is tried against the real server process with a real Redis, and the
[simulated provider](provider.md) or a server that says bytes that no provider should. `{command}` tries all of them
again, `make faults ARGS='--list'` names them, `make faults ARGS='--only NAME'` tries one. This page is made of the
results.

**{held} of {all} cases held.** Measured on {date}: {cores} cores of {cpu}, shared with clients, providers and Redis;
{python}; commit {commit}; {took:.0f} minutes. Others used {busy:.1f} cores just before.

Each case has a proxy of its own. Its settings are short, so that a minute sees what an hour would: connect 0.5 s, first
byte 2 s, silence in a stream 2 s, a cooldown 1 s, three attempts. Bounds of time are ceilings for a machine that
everything shares.

After **every** case it is also checked that

- within 15 s nothing is left in any worker: no request, lease, waiting request, WebSocket, task, file, connection of a
  client, connection lent by the pool, or byte held for a client;
- `/health` says what the states of the endpoints say, and the log has neither an internal error nor a traceback;
- the keys of provider, client and Redis and the words of the prompts are in no log line, page, metric or error, and
  nowhere in Redis.

Bounds stand in brackets; what has none had to be just so: `failed of 400 0`, for one.
"""


def page_of(results: Results) -> str:
    """The text of the page."""
    machine = results.machine
    parts = [
        _HEAD.format(
            command=results.command,
            held=sum(result.held for result in results.results),
            all=len(results.results),
            date=machine.measured[:10],
            cores=machine.cores,
            cpu=machine.cpu,
            python=machine.python.split(",")[0],
            commit=machine.commit or "unknown",
            took=results.took_s / 60,
            busy=results.busy_cores,
        )
    ]
    for part in dict.fromkeys(result.part for result in results.results):
        rows = [result for result in results.results if result.part == part]
        parts += [f"## {part}\n", "| case | what must hold | measured | held |", "|---|---|---|---|"]
        parts += [_row(result) for result in rows]
        parts.append("")
    return "\n".join(parts)


def _row(result: Result) -> str:
    held = "yes" if result.held else f"**no**: {_cell('; '.join(result.wrong()))[:300]}"
    return (
        f"| `{result.name}`: {_cell(result.title)} | {_cell(result.expected)} | {_measured(result.figures)} | {held} |"
    )


def _measured(figures: Iterable[Figure]) -> str:
    return "; ".join(
        f"{_cell(figure.what)} **{figure.measured:,g}{' ' * bool(figure.unit)}{figure.unit}**{_bound(figure)}"
        for figure in figures
    )


def _bound(figure: Figure) -> str:
    if figure.relation == "=":
        return "" if figure.holds else f" (not {figure.bound:,g})"
    if figure.floor is not None:
        return f" ({figure.floor:,g} to {figure.bound:,g})"
    return f" ({'at most' if figure.relation == '<=' else 'at least'} {figure.bound:,g})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
