"""Small scenarios, played: what tests of the simulation share."""

from collections.abc import Sequence
from pathlib import Path

from entrypoints.config.load import load_settings
from entrypoints.config.settings import Settings
from entrypoints.simulate.options import Latency, Limits, Trouble
from entrypoints.simulate.report.figures import Report, Source, report_of
from entrypoints.simulate.run import play
from entrypoints.simulate.scenario import scenario_of
from entrypoints.simulate.traffic import Arrival
from entrypoints.wiring.groups import model_groups

KEY = "sk-canary-hunter2-0123456789"


def write_config(folder: Path, *models: str, general: str = "") -> Path:
    """A configuration of one group, `gpt`. Each of `models` is what a model has beside its name and its params, such as
    `id: east, weight: 3`."""
    path = folder / "llmproxy.yaml"
    lines = [f"general_settings: {{{general}}}", "model_groups:", "  - model_group: gpt", "    models:"]
    for number, model in enumerate(models):
        url = f"https://host{number}.example/v1"
        lines.append(f"      - {{model: gpt, {model}, params: {{api_key: {KEY}, base_url: '{url}'}}}}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def settings_of(folder: Path, *models: str, general: str = "") -> Settings:
    """The same, read."""
    return load_settings(write_config(folder, *models, general=general), {})


def played(
    settings: Settings,
    times: Sequence[float],
    limits: Sequence[tuple[str | None, Limits]] = (),
    latency: Latency | None = None,
    troubles: Sequence[Trouble] = (),
    *,
    streams: bool = False,
    length_s: float = 120.0,
    seed: int = 0,
) -> Report:
    """Requests of 100 tokens with answers of 20 at these times, in seconds after the start."""
    latencies = [] if latency is None else [(None, latency)]
    scenario = scenario_of(model_groups(settings), [], limits, latencies, troubles, streams=streams)
    group = scenario.groups[0][0]
    arrivals = [Arrival(at_s, group, 100, 20) for at_s in times]
    run = play(settings, scenario, arrivals, length_s, seed)
    return report_of(Source("llmproxy.yaml", seed, "some requests", length_s / 60), scenario, run)
