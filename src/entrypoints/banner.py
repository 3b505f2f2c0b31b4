"""What the proxy says when it takes connections: where it listens, who gets which share, what is kept where."""

import sys
from collections.abc import Callable, Sequence

from adapters.telemetry.log_lines import as_json_line, is_text
from entrypoints.config.settings import GeneralSettings, Settings
from entrypoints.processes.events import Events
from entrypoints.wiring.endpoints import host_of
from entrypoints.wiring.groups import model_groups
from entrypoints.wiring.stores import cache_redis, shared_redis

_DEMO_REQUEST = """\
Try it:
  curl {url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "demo", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""


def announce(
    settings: Settings, addresses: Sequence[str], events: Events, say: Callable[[str], None], *, demo: bool
) -> None:
    """Says that connections are taken: a line in the log, and the banner on standard output. Where lines are JSON, so
    is the banner, unless a person reads it: collectors take both streams together."""
    general = settings.general
    text = banner(settings, demo=demo)
    events.ready(_url(general), addresses)
    is_for_people = is_text(general.log_format) or sys.stdout.isatty()
    say(text if is_for_people else as_json_line("banner", text=text))


def banner(settings: Settings, *, demo: bool) -> str:
    general = settings.general
    workers = "one worker per CPU" if general.workers == "auto" else f"{general.workers} worker(s)"
    lines = [f"LLMProxy listens on {_url(general)}, {workers}, configured by {settings.path}"]
    for group, configured in zip(model_groups(settings), settings.groups, strict=True):
        lines.append(f"  {group.name}")
        members = zip(group.endpoints, group.shares(), group.tier_names(), configured.models, strict=True)
        for endpoint, share, tier, model in members:
            part = f"{share:.1%}" if share else tier
            lines.append(f"    {endpoint.id:<20} {part:>8}  {endpoint.model} at {host_of(model)}")
    lines.append(f"  stores: {_states(general)}; {_cache(general)}")
    if demo:
        lines.append(_DEMO_REQUEST.format(url=_url(general)))
    return "\n".join(lines)


def _url(general: GeneralSettings) -> str:
    host = f"[{general.bind_address}]" if ":" in general.bind_address else general.bind_address
    return f"http://{host}:{general.bind_port}"


def _states(general: GeneralSettings) -> str:
    redis = shared_redis(general)
    if redis is not None:
        return f"endpoint state shared in {redis.described}"
    return "endpoint state in memory" + (" (each worker its own)" if general.workers != 1 else "")


def _cache(general: GeneralSettings) -> str:
    params = general.cache_params
    if general.cache_type == "off":
        return "no response cache"
    redis = cache_redis(general)
    where = f"in {redis.described}" if redis is not None else f"in memory, {params.max_bytes / (1 << 20):.0f} MiB"
    per_worker = " per worker" if redis is None and general.workers != 1 else ""
    return f"answers cached {where}{per_worker} for {params.ttl:.0f} s"
