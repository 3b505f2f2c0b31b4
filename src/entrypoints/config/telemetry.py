"""What is sent by OTLP, as OpenTelemetry's standard variables (`OTEL_*`) say. None of them is a setting of the file."""

from collections.abc import Mapping
from importlib.util import find_spec

from msgspec import Struct

from entrypoints.config.reading.mistakes import Report

NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
"""What the extra `otel` installs."""

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL = "http/protobuf"
_EXPORTERS = ("otlp", "console")
_OLD_NAMES = "gen_ai/dup"
_INSTALL = "make setup-otel, or uv tool install '.[otel]', or pip install '.[otel]'"


class Telemetry(Struct, frozen=True):
    """Which exporters there are to be, `otlp` or `console`; empty = none."""

    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    has_old_names: bool = False
    """Are older names of the conventions sent beside the new ones?"""


NO_TELEMETRY = Telemetry()


def telemetry_of(environ: Mapping[str, str], report: Report) -> Telemetry:
    """Nothing, with a warning, where it is asked for and the extra `otel` is not installed."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NO_TELEMETRY
    traces, metrics = _exporters("TRACES", environ, report), _exporters("METRICS", environ, report)
    if not traces and not metrics:
        return NO_TELEMETRY
    if not all(map(_is_installed, NEEDED)):
        report.warn("", f"OTEL_* in the environment asks for traces or metrics, and the extra otel is not installed: "
                        f"none are sent; fix: {_INSTALL}")  # fmt: skip
        return NO_TELEMETRY
    asked = [_other_protocol("TRACES", traces, environ), _other_protocol("METRICS", metrics, environ)]
    for told in dict.fromkeys(filter(None, asked)):  # one variable may be for both
        report.warn("", told)
    opted = environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
    return Telemetry(traces, metrics, _OLD_NAMES in map(str.strip, opted))


def _exporters(signal: str, environ: Mapping[str, str], report: Report) -> tuple[str, ...]:
    """As `OTEL_TRACES_EXPORTER` names them; without it there is one where an endpoint is named."""
    variable = f"OTEL_{signal}_EXPORTER"
    named = environ.get(variable, "").strip().lower()
    if not named:
        has_endpoint = environ.get(_ENDPOINT) or environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        return ("otlp",) if has_endpoint else ()
    found = dict.fromkeys(name.strip() for name in named.split(","))
    for name in found:
        if name not in (*_EXPORTERS, "none"):
            valid = "valid: otlp, console, none"
            report.warn("", f'{variable} in the environment names "{name[:60]}", which is not known here; {valid}')
    return tuple(name for name in found if name in _EXPORTERS)


def _other_protocol(signal: str, exporters: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """What is to be said of the protocol that is asked for; empty = nothing."""
    for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environ.get(variable, "").strip()
        if protocol and "otlp" in exporters:
            told = f"{variable} in the environment asks for {protocol[:60]}, and only {_PROTOCOL} is spoken here"
            valid = f"{_PROTOCOL}, at the collector's port for it, mostly 4318"
            return "" if protocol == _PROTOCOL else f"{told}; valid: {valid}"
    return ""


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
