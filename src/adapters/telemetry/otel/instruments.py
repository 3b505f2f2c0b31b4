"""The metrics of attempts and requests, as instruments of OpenTelemetry."""

from collections.abc import Mapping

from opentelemetry.metrics import Counter, Histogram, Meter

from adapters.telemetry.otel import names
from adapters.telemetry.otel.names import Metric
from domain.rate_limit.token_estimate import Usage

Labels = Mapping[str, str | int]


class Instruments:
    """What is counted. Labels are few and fixed: nothing that a client chooses is one."""

    def __init__(self, meter: Meter, *, has_old_names: bool) -> None:
        self._meter = meter
        self._duration = self._histogram(names.INFERENCE_DURATION)
        self._first_chunk = self._histogram(names.INFERENCE_FIRST_CHUNK)
        self._input, self._output = self._counter(names.USED_INPUT), self._counter(names.USED_OUTPUT)
        self._cache_read, self._reasoning = self._counter(names.USED_CACHE_READ), self._counter(names.USED_REASONING)
        self._each_input = self._histogram(names.OPERATION_INPUT)
        self._each_output = self._histogram(names.OPERATION_OUTPUT)
        self._request_duration = self._histogram(names.SERVER_DURATION)
        self._first_token = self._histogram(names.SERVER_FIRST_TOKEN)
        self._old_duration = self._histogram(names.OLD_DURATION) if has_old_names else None
        self._old_tokens = self._histogram(names.OLD_TOKENS) if has_old_names else None

    def attempt(self, labels: Labels, seconds: float, first_chunk_s: float | None) -> None:
        """An attempt is over. `first_chunk_s` None = it was no stream, or none began."""
        self._duration.record(seconds, labels)
        if self._old_duration is not None:
            self._old_duration.record(seconds, labels)
        if first_chunk_s is not None:
            self._first_chunk.record(first_chunk_s, labels)

    def usage(self, labels: Labels, usage: Usage | None, cache_read: int | None, reasoning: int | None) -> None:
        """What an attempt took. The counters count one that failed as well, with 0 where nothing is known."""
        kinds = {**labels, names.MODALITY: "unknown"}
        self._input.add(0 if usage is None else usage.prompt_tokens, kinds)
        self._output.add(0 if usage is None else usage.output_tokens, kinds)
        self._cache_read.add(cache_read or 0, kinds)
        self._reasoning.add(reasoning or 0, kinds)
        if usage is None:
            return
        self._each_input.record(usage.prompt_tokens, labels)
        self._each_output.record(usage.output_tokens, labels)
        if self._old_tokens is not None:
            self._old_tokens.record(usage.prompt_tokens, {**labels, names.OLD_USAGE_KIND: "input"})
            self._old_tokens.record(usage.output_tokens, {**labels, names.OLD_USAGE_KIND: "output"})

    def request(self, labels: Labels, seconds: float, first_token_s: float | None) -> None:
        """A request is over. `first_token_s` None = it was no stream, or none began."""
        self._request_duration.record(seconds, labels)
        if first_token_s is not None:
            self._first_token.record(first_token_s, labels)

    def _counter(self, metric: Metric) -> Counter:
        return self._meter.create_counter(metric.name, metric.unit, metric.meaning)

    def _histogram(self, metric: Metric) -> Histogram:
        return self._meter.create_histogram(
            metric.name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=metric.buckets
        )
