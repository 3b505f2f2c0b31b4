"""Spans and metrics as they are made, without a collector."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.telemetry.otel.instruments import Instruments
from adapters.telemetry.otel.names import operation_of, span_name
from adapters.telemetry.otel.spans import OtelTracing, Place, Recorder
from application.messages import Api
from application.telemetry_ports import RequestRecord
from domain.endpoint import Endpoint
from domain.rate_limit.token_estimate import Usage

ENDPOINT = Endpoint("gpt/1", "gpt-x", "azure")
RECORD = RequestRecord(
    *("req_1", "gpt", "chat", "gpt/1", 1, "gpt/1: ok", 200, "ok", False, "miss"), 10.0, 9.0, 0.2, 100, 200,
    client="203.0.113.7", model="gpt", client_request_id="canary-id", user_agent="canary-agent", key_name="canary-key",
)  # fmt: skip


class World:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        instruments = Instruments(NoOpMeterProvider().get_meter("test"), has_old_names=True)
        places = {"gpt/1": Place("azure.ai.openai", "r.openai.azure.com", 443)}
        groups = frozenset({"gpt"})
        self.tracing = OtelTracing(Recorder(provider.get_tracer("test"), instruments, places, groups, time.monotonic))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


@pytest.fixture
def world() -> Iterator[World]:
    yield World()


def changed(**changes: Any) -> RequestRecord:
    return RequestRecord(**{name: getattr(RECORD, name) for name in RECORD.__struct_fields__} | changes)


def test_of_a_record_only_what_is_listed_is_told(world: World) -> None:
    world.tracing.request({}).end(RECORD)

    (span,) = world.spans
    assert span.name == "chat gpt"
    assert "canary" not in span.to_json()
    assert "203.0.113" not in span.to_json()


def test_an_azure_endpoint_is_named_as_the_conventions_do(world: World) -> None:
    request = world.tracing.request({})
    attempt = request.attempt(ENDPOINT, Api.EMBEDDINGS, "POST", "/embeddings", stream=False)
    attempt.took(Usage(3, 0))
    attempt.end(200, "")

    (span,) = world.spans
    assert span.name == "embeddings gpt-x"
    said = span.attributes or {}
    assert (said["gen_ai.provider.name"], said["server.address"]) == ("azure.ai.openai", "r.openai.azure.com")
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (3, 0)


def test_an_endpoint_that_nobody_knows_the_place_of_is_told_without_it(world: World) -> None:
    attempt = world.tracing.request({}).attempt(Endpoint("new/1", "m", "openai"), "chat", "POST", "/x", stream=False)
    attempt.end(0, "connect_failed")

    (span,) = world.spans
    assert not {"server.address", "server.port", "http.response.status_code"} & (span.attributes or {}).keys()


def test_a_page_that_was_shown_has_no_span_and_one_that_was_refused_has_one(world: World) -> None:
    world.tracing.request({}).end(changed(api="", group="", endpoint="", method="GET", path="/status"))
    assert world.spans == ()

    refused = changed(
        api="", group="", endpoint="", method="GET", path="/status", outcome="invalid_api_key", status=401
    )
    world.tracing.request({}).end(refused)
    (span,) = world.spans
    assert (span.name, (span.attributes or {})["error.type"]) == ("GET", "client_unauthorized")


@pytest.mark.parametrize(
    ("outcome", "is_error"),
    [
        ("ok", False),
        ("client_left", False),
        ("host_not_allowed", False),
        ("upstream_timeout", True),
        ("internal_error", True),
        ("nobody_knows", True),
    ],
)
def test_a_request_is_an_error_where_the_client_is_not_at_fault(world: World, outcome: str, is_error: bool) -> None:
    world.tracing.request({}).end(changed(outcome=outcome))

    assert (not world.spans[0].status.is_unset) is is_error


@given(st.binary(max_size=70), st.binary(max_size=200))
def test_no_header_of_a_client_raises(traceparent: bytes, tracestate: bytes) -> None:
    request = World().tracing.request({b"traceparent": traceparent, b"tracestate": tracestate})

    assert request.attempt(ENDPOINT, "chat", "POST", "/chat/completions", stream=True).context


@pytest.mark.parametrize(
    ("api", "method", "path", "operation"),
    [
        (Api.CHAT, "", "", "chat"),
        (Api.RESPONSES, "POST", "/responses", "chat"),
        (Api.COMPLETIONS, "", "", "text_completion"),
        (Api.EMBEDDINGS, "", "", "embeddings"),
        (Api.MODERATIONS, "", "", ""),
        (Api.STORED, "GET", "/v1/responses/resp_1", "fetch_response"),
        (Api.STORED, "GET", "/v1/responses/resp_1/input_items", ""),
        (Api.STORED, "DELETE", "/v1/responses/resp_1", ""),
        (Api.STORED, "GET", "/v1/responses/", ""),
        (Api.OTHER, "GET", "/v1/files", ""),
        ("", "GET", "/nowhere", ""),
    ],
)
def test_operations(api: str, method: str, path: str, operation: str) -> None:
    assert operation_of(api, method, path) == operation


def test_what_has_no_operation_is_named_by_its_method_and_never_by_its_path() -> None:
    assert span_name("", "", Api.OTHER, "DELETE") == "DELETE"
    assert span_name("", "gpt", Api.MODERATIONS, "") == "moderations"
    assert span_name("", "", "", "") == "request"
