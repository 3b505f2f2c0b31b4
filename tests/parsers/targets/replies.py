"""Whole replies of a provider: are they answers, what do their errors say, what was made."""

from collections.abc import Hashable

from adapters.upstreams.openai.credential_mask import CredentialMask
from adapters.upstreams.openai.errors.reply_judge import judge, read_error
from adapters.upstreams.openai.realtime_events import RealtimeEvents
from adapters.upstreams.stored_things.claims import claims
from application.messages import Api, WholeReply
from domain.endpoint import Endpoint
from entrypoints.check.ping.answers import listed
from tests.parsers.target import Target, led
from tests.parsers.texts import JSON_OBJECTS, JSON_WORDS, is_json

_APIS = tuple(Api)
_STATUSES = (200, 201, 304, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 529)
_CANARY = "sk-canary/0123456789"
_ENDPOINT = Endpoint("g/1", "m", "openai")
_MOST_TOKENS = 10**12


def _verdicts(data: bytes) -> Hashable:
    variant, data = led(data)
    status, api = _STATUSES[variant % len(_STATUSES)], _APIS[variant // len(_STATUSES) % len(_APIS)]
    reply = WholeReply(status, (("content-type", "application/json"),), data)
    verdicts = [judge(api, reply, True), judge(api, reply, False, is_bound=True)]
    words = read_error(reply)
    assert 0 <= words.status < 600
    kinds = []
    for verdict in verdicts:
        failure, usage = verdict.failure, verdict.usage
        assert usage is None or all(0 <= count <= _MOST_TOKENS for count in (usage.prompt_tokens, usage.output_tokens))
        assert failure is None or failure.retry_after_s is None or failure.retry_after_s >= 0
        kinds.append(failure and failure.kind)
    listed(reply)
    made = claims(data, is_dialogue=True)
    assert all(len(name) <= 200 for name in made)
    masked = CredentialMask([_CANARY]).reply(WholeReply(status, (("x-a", _CANARY),), data + _CANARY.encode()))
    assert _CANARY.encode() not in masked.body
    return api, tuple(kinds), words.label == "", min(2, len(made))


def _realtime(data: bytes) -> Hashable:
    """A message of text, which the framing holds to UTF-8."""
    data = data.decode("utf-8", "ignore").encode()
    events = RealtimeEvents()
    event = events.event(_ENDPOINT, data)
    if event is not None and event.readings is not None:
        assert event.readings.requests.is_possible
        assert event.readings.tokens.is_possible
    refusals = []
    for code in (1000, 1006, 1008, 1013, 3000, 4000):
        failure, reply = events.refusal(_ENDPOINT, data, code)
        assert reply is None or (400 <= reply.status < 600 and is_json(reply.body))
        refusals.append(failure.kind)
    return event and (event.turn, event.is_error, event.usage is None), tuple(refusals)


TARGETS = (
    Target("verdicts", _verdicts, (*(b"\0" + each for each in JSON_OBJECTS), *JSON_WORDS)),
    Target(
        "realtime",
        _realtime,
        (
            *JSON_WORDS,
            b'{"type":"rate_limits.updated","rate_limits":[{"name":"requests","limit":5,"remaining":4,"reset_seconds":1.5}]}',
            b'{"type":"response.done","response":{"status":"failed","usage":{"input_tokens":3,"output_tokens":4},'
            b'"status_details":{"error":{"type":"server_error","code":"rate_limit_exceeded"}}}}',
            b'{"type":"response.created"}',
            b'{"type":"error","error":{"type":"invalid_request_error","code":"x","message":"m"}}',
            b'{"type" : "response.done"}',
        ),
    ),
)  # fmt: skip
