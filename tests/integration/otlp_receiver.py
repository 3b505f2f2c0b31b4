"""A collector that speaks OTLP over HTTP, in the test's process: keeps what is sent, decoded and as it came."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind or "string_value")


def attributes_of(item: Any) -> dict[str, Any]:
    return {pair.key: value_of(pair.value) for pair in item.attributes}


class Sent:
    """A span, as it was received."""

    def __init__(self, span: Any, resource: dict[str, Any]) -> None:
        self.name: str = span.name
        self.kind: int = span.kind
        self.id = span.span_id.hex()
        self.trace = span.trace_id.hex()
        self.parent = span.parent_span_id.hex()
        self.attributes = attributes_of(span)
        self.is_error = span.status.code == 2
        self.started, self.ended = span.start_time_unix_nano, span.end_time_unix_nano
        self.resource = resource

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]


class Receiver:
    """What has come."""

    def __init__(self) -> None:
        self.spans: list[Sent] = []
        self.points: list[tuple[str, dict[str, Any], Any]] = []
        """Name of a metric, attributes, the data point."""
        self.raw = b""
        self.status = 200
        self.url = ""
        self.goes_on = Event()
        """Cleared, nothing is answered."""
        self.goes_on.set()

    def take(self, path: str, body: bytes) -> None:
        self.raw += body
        if path == "/v1/traces":
            for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = attributes_of(of_process.resource)
                self.spans += [Sent(span, resource) for scope in of_process.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for of_reader in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in of_reader.scope_metrics for metric in scope.metrics):
                    data = metric.histogram if metric.HasField("histogram") else metric.sum
                    self.points += [(metric.name, attributes_of(point), point) for point in data.data_points]

    @property
    def requests(self) -> list[Sent]:
        return [span for span in self.spans if span.kind == 2]

    @property
    def attempts(self) -> list[Sent]:
        """In the order of their beginning."""
        return sorted((span for span in self.spans if span.kind == 3), key=lambda span: span.started)

    def points_of(self, metric: str) -> list[tuple[dict[str, Any], Any]]:
        return [(attributes, point) for name, attributes, point in self.points if name == metric]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """One on a port of its own."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.goes_on.wait()
            if received.status == 200:
                received.take(self.path, body)
            self.send_response(received.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        received.goes_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
