"""The metrics of attempts and requests, as instruments of OpenTelemetry."""

from collections.abc import Iterable, Mapping
from functools import partial

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from adapters.telemetry.otel import names
from adapters.telemetry.otel.names import Metric
from domain.rate_limit.token_estimate import Usage

Labels = Mapping[str, str | int]


class Instruments:
    """What is counted. Labels are few and fixed: nothing that a client chooses is one."""

    def __init__(self, meter: Meter, *, has_old_names: bool) -> None:
        """`has_old_names`: are older names of the conventions sent as well?"""
        self.has_old_names = has_old_names
        self._meter = meter
        self._duration = self._histogram(names.INFERENCE_DURATION)
        self._first_chunk = self._histogram(names.INFERENCE_FIRST_CHUNK)
        self._used = _UsedTokens(meter)
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
        prompt, output = (0, 0) if usage is None else (usage.prompt_tokens, usage.output_tokens)
        self._used.add(labels, (prompt, output, cache_read or 0, reasoning or 0))
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

    def _histogram(self, metric: Metric) -> Histogram:
        return self._meter.create_histogram(
            metric.name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=metric.buckets
        )


class _UsedTokens:
    """Counters that are asked for their sums: to add to one of the SDK's takes ten times as long."""

    def __init__(self, meter: Meter) -> None:
        self._sums: dict[tuple[tuple[str, str | int], ...], list[int]] = {}
        """By labels; one for each of the counters."""
        counters = (names.USED_INPUT, names.USED_OUTPUT, names.USED_CACHE_READ, names.USED_REASONING)
        for place, metric in enumerate(counters):
            meter.create_observable_counter(metric.name, [partial(self._observe, place)], metric.unit, metric.meaning)

    def add(self, labels: Labels, tokens: tuple[int, ...]) -> None:
        sums = self._sums.setdefault(tuple(labels.items()), [0] * len(tokens))
        for place, number in enumerate(tokens):
            sums[place] += number

    def _observe(self, place: int, _: CallbackOptions) -> Iterable[Observation]:
        """Called by the thread that exports."""
        return [
            Observation(sums[place], {**dict(labels), names.MODALITY: "unknown"})
            for labels, sums in list(self._sums.items())
        ]
