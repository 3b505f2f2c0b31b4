"""What the proxy says when it starts: where it listens, who gets which share, what is kept where, what looks wrong."""

from entrypoints.endpoints import host_of, model_groups
from entrypoints.settings import GeneralSettings, Settings
from entrypoints.stores import cache_redis, shared_redis

_DEMO_REQUEST = """\
Try it:
  curl http://{address}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "demo", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""


def banner(settings: Settings, *, demo: bool) -> str:
    """A few lines for people."""
    general = settings.general
    host = f"[{general.bind_address}]" if ":" in general.bind_address else general.bind_address
    address = f"{host}:{general.bind_port}"
    workers = "one worker per CPU" if general.workers == "auto" else f"{general.workers} worker(s)"
    lines = [f"LLMProxy listens on http://{address}, {workers}, configured by {settings.path}"]
    for group, configured in zip(model_groups(settings), settings.groups, strict=True):
        lines.append(f"  {group.name}")
        for endpoint, share, model in zip(group.endpoints, group.shares(), configured.models, strict=True):
            part = f"{share:.1%}" if share else "fallback"
            lines.append(f"    {endpoint.id:<20} {part:>8}  {endpoint.model} at {host_of(model)}")
    lines.append(f"  stores: {_states(general)}; {_cache(general)}")
    lines += [f"  warning: {warning}" for warning in settings.warnings]
    if demo:
        lines.append(_DEMO_REQUEST.format(address=address))
    return "\n".join(lines)


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
