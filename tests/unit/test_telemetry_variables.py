"""Which of OpenTelemetry's standard variables switch what on."""

from pathlib import Path

import pytest

from entrypoints.config import telemetry
from entrypoints.config.reading.mistakes import Report
from entrypoints.config.telemetry import NO_TELEMETRY, Telemetry, telemetry_of

URL = "http://collector:4318"
OTLP = ("otlp",)


def asked(**variables: str) -> tuple[Telemetry, list[str]]:
    report = Report(Path("c.yaml"))
    found = telemetry_of({f"OTEL_{name}": value for name, value in variables.items()}, report)
    return found, [str(warning) for warning in report.warnings]


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        ({"EXPORTER_OTLP_ENDPOINT": URL}, OTLP, OTLP),
        ({"EXPORTER_OTLP_TRACES_ENDPOINT": URL}, OTLP, ()),
        ({"EXPORTER_OTLP_METRICS_ENDPOINT": URL}, (), OTLP),
        ({"TRACES_EXPORTER": "otlp"}, OTLP, ()),
        ({"METRICS_EXPORTER": "console"}, (), ("console",)),
        ({"TRACES_EXPORTER": "Console, otlp,otlp"}, ("console", "otlp"), ()),
        ({"EXPORTER_OTLP_ENDPOINT": URL, "METRICS_EXPORTER": "none"}, OTLP, ()),
    ],
)
def test_an_endpoint_or_an_exporter_switches_it_on(
    variables: dict[str, str], traces: tuple[str, ...], metrics: tuple[str, ...]
) -> None:
    assert asked(**variables) == (Telemetry(traces, metrics), [])


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SERVICE_NAME": "mine"},
        {"EXPORTER_OTLP_ENDPOINT": ""},
        {"TRACES_EXPORTER": "none"},
        {"EXPORTER_OTLP_ENDPOINT": URL, "SDK_DISABLED": "True"},
        {"EXPORTER_OTLP_ENDPOINT": URL, "TRACES_EXPORTER": "none", "METRICS_EXPORTER": "none"},
    ],
)
def test_nothing_is_sent_otherwise(variables: dict[str, str]) -> None:
    assert asked(**variables) == (NO_TELEMETRY, [])


@pytest.mark.parametrize(
    ("opted", "both"),
    [("gen_ai/dup", True), ("http/dup, gen_ai/dup", True), ("gen_ai_latest_experimental", False), ("", False)],
)
def test_the_older_names_come_beside_the_new_ones_where_they_are_asked_for(opted: str, both: bool) -> None:
    found, _ = asked(EXPORTER_OTLP_ENDPOINT=URL, SEMCONV_STABILITY_OPT_IN=opted)

    assert found.has_old_names is both


def test_without_the_extra_a_warning_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "NEEDED", ("opentelemetry.no_such_module",))

    found, warnings = asked(EXPORTER_OTLP_ENDPOINT=URL)

    assert found is NO_TELEMETRY
    (warning,) = warnings
    assert "make setup-otel" in warning and "uv tool install '.[otel]'" in warning


def test_without_the_extra_nothing_is_said_where_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "NEEDED", ("no_such_package.module",))

    assert asked() == (NO_TELEMETRY, [])


def test_an_unknown_exporter_is_told_and_the_others_hold() -> None:
    found, warnings = asked(TRACES_EXPORTER="zipkin,otlp")

    assert found.traces == OTLP
    assert "OTEL_TRACES_EXPORTER" in warnings[0] and '"zipkin"' in warnings[0] and "valid: otlp" in warnings[0]


@pytest.mark.parametrize("variable", ["EXPORTER_OTLP_PROTOCOL", "EXPORTER_OTLP_TRACES_PROTOCOL"])
def test_grpc_is_told_with_the_port_to_use(variable: str) -> None:
    _, warnings = asked(**{variable: "grpc", "TRACES_EXPORTER": "otlp"})

    assert f"OTEL_{variable}" in warnings[0] and "http/protobuf" in warnings[0] and "4318" in warnings[0]


def test_a_protocol_for_traces_and_metrics_is_told_once() -> None:
    _, warnings = asked(EXPORTER_OTLP_PROTOCOL="grpc", EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")

    assert len(warnings) == 1


def test_a_protocol_of_the_signal_goes_before_the_general_one() -> None:
    _, warnings = asked(
        EXPORTER_OTLP_PROTOCOL="grpc", EXPORTER_OTLP_TRACES_PROTOCOL="http/protobuf", TRACES_EXPORTER="otlp"
    )

    assert warnings == []
