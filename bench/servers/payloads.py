"""What is asked and answered in every measurement: a short question, an answer of 1.1 kB, the events of a stream."""

import json

MODEL = "gpt-4o"
UPSTREAM_MODEL = "gpt-4o-2024-11-20"
KEY = "sk-bench"
"""What clients send. LiteLLM wants a key of this shape, the others take any."""

_WORDS = "The quick brown fox jumps over the lazy dog while the band plays on and nobody counts the beats. "
_ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1764000000,
    "model": UPSTREAM_MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": (_WORDS * 8)[:740].strip(), "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 24, "completion_tokens": 160, "total_tokens": 184},
    "service_tier": "default",
    "system_fingerprint": "fp_bench",
}

REPLY = json.dumps(_ANSWER, separators=(", ", ": ")).encode()

REPLY_HEADERS = {
    "x-request-id": "req_bench",
    "openai-version": "2020-10-01",
    "openai-processing-ms": "1",
    "x-ratelimit-limit-requests": "30000",
    "x-ratelimit-remaining-requests": "29999",
    "x-ratelimit-reset-requests": "2ms",
    "x-ratelimit-limit-tokens": "150000000",
    "x-ratelimit-remaining-tokens": "149999000",
    "x-ratelimit-reset-tokens": "0s",
}
"""What OpenAI sends with each reply: a proxy that reads rate limits has to read them."""


def question(*, model: str = MODEL, stream: bool = False, temperature: float = 0.7, padding: int = 0) -> bytes:
    """The body of a chat completion; with `padding` it carries that many bytes, as an image in base64 would.

    At temperature 0.7 nothing may be cached, at 0 everything.
    """
    asked = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": _WORDS + "x" * padding}]
    body: dict[str, object] = {"model": model, "temperature": temperature, "messages": asked}
    if stream:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": UPSTREAM_MODEL,
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
        "choices": [choice],
    }
    return f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n".encode()


FIRST_EVENT = _event({"role": "assistant", "content": ""})
TOKEN_EVENT = _event({"content": " token"})
OTHER_TOKEN_EVENT = _event({"content": " words"})
"""As long. A stream takes them by turns: LiteLLM breaks one off in which an event repeats a hundred times."""
LAST_EVENTS = _event({}, "stop") + b"data: [DONE]\n\n"
EVENTS_AROUND = 3
"""How many events a stream has besides its tokens: the role, the end, [DONE]."""
