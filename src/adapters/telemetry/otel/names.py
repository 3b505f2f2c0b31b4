"""Every name that is sent by OTLP, in one place: attributes of spans, and metrics.

They are those of OpenTelemetry's conventions for generative AI, v0.1.0 (open-telemetry/semantic-conventions-genai), of
its general conventions for `error.*`, `http.*` and `server.*`, and the proxy's own under `llmproxy.`. docs/tracing.md
says what each means.
"""

from itertools import accumulate, repeat
from operator import mul
from typing import NamedTuple

from application.messages import Api

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
API_TYPE = "openai.api.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
STATUS = "http.response.status_code"
ERROR_TYPE = "error.type"
REQUEST_ID = "llmproxy.request_id"
GROUP = "llmproxy.group"
ENDPOINT = "llmproxy.endpoint"
CACHE = "llmproxy.cache"
ATTEMPTS = "llmproxy.attempts"
OVERHEAD = "llmproxy.overhead_ms"
OLD_PROVIDER = "gen_ai.system"

MODALITY = "gen_ai.token.modality"
OLD_USAGE_KIND = "gen_ai.token.type"


class Metric(NamedTuple):
    """A metric. Without `buckets` it is a counter, else a histogram."""

    name: str
    unit: str
    meaning: str
    buckets: tuple[float, ...] = ()


_SECONDS = tuple(round(0.01 * 2**power, 2) for power in range(14))
_FIRST_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 15, 30, 60)
"""Those of the conventions, and three more for models that think first."""
_TOKENS = tuple(accumulate(repeat(4, 13), mul, initial=1))

INFERENCE_DURATION = Metric("gen_ai.client.inference.duration", "s", "how long attempts took", _SECONDS)
INFERENCE_FIRST_CHUNK = Metric(
    "gen_ai.client.inference.time_to_first_chunk", "s", "until the first content of a stream", _FIRST_SECONDS
)
USED_INPUT = Metric("gen_ai.client.inference.usage.input_tokens", "{token}", "input tokens")
USED_OUTPUT = Metric("gen_ai.client.inference.usage.output_tokens", "{token}", "output tokens")
USED_CACHE_READ = Metric(
    "gen_ai.client.inference.usage.cache_read.input_tokens", "{token}", "input tokens from the provider's prompt cache"
)
USED_REASONING = Metric(
    "gen_ai.client.inference.usage.reasoning.output_tokens", "{token}", "output tokens spent on reasoning"
)
OPERATION_INPUT = Metric(
    "gen_ai.client.inference.operation.input_tokens", "{token}", "input tokens of one attempt", _TOKENS
)
OPERATION_OUTPUT = Metric(
    "gen_ai.client.inference.operation.output_tokens", "{token}", "output tokens of one attempt", _TOKENS
)
SERVER_DURATION = Metric("gen_ai.server.request.duration", "s", "how long requests took", _SECONDS)
SERVER_FIRST_TOKEN = Metric(
    "gen_ai.server.time_to_first_token", "s", "until the first byte of a stream", _FIRST_SECONDS
)
# Sent only where `OTEL_SEMCONV_STABILITY_OPT_IN` asks for the older names.
OLD_DURATION = Metric("gen_ai.client.operation.duration", "s", "how long attempts took", _SECONDS)
OLD_TOKENS = Metric("gen_ai.client.token.usage", "{token}", "tokens of one attempt", _TOKENS)

PROVIDERS = {"openai": "openai", "azure": "azure.ai.openai"}
"""By `Endpoint.provider`."""

_OPERATIONS: dict[str, str] = {
    Api.CHAT: "chat",
    Api.RESPONSES: "chat",
    Api.COMPLETIONS: "text_completion",
    Api.EMBEDDINGS: "embeddings",
}
API_TYPES: dict[str, str] = {Api.CHAT: "chat_completions", Api.RESPONSES: "responses"}
FETCH_RESPONSE = "fetch_response"


def operation_of(api: str, method: str, path: str) -> str:
    """What the conventions call it; empty = they have no name for it."""
    if api == Api.STORED and method == "GET":
        above, _, last = path.rpartition("/")
        return FETCH_RESPONSE if last and above.endswith("/responses") else ""
    return _OPERATIONS.get(api, "")


def span_name(operation: str, model: str, api: str, method: str) -> str:
    """`chat gpt-5`; of what the conventions do not name, the method alone: paths have ids in them."""
    if operation:
        return f"{operation} {model}" if model else operation
    return api if api in (Api.MODERATIONS, Api.REALTIME) else method or "request"
