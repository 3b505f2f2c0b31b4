"""How many tokens a request is going to be charged, guessed before it is sent.

Providers charge at admission: an estimate of the prompt from its length, and the most output that was asked for (OpenAI
and Azure OpenAI rate-limit guides). The guess starts at four bytes a token and learns from the `usage` of replies.
"""

from msgspec import Struct

_LEARNING_RATE = 0.1
_TOKENS_PER_BYTE = 0.25
_TOKENS_PER_ATTACHMENT = 1000.0
_ATTACHMENT = b";base64,"

MAX_REQUEST_TOKENS = 1e8
"""No model takes or gives as many, and no request is charged more. Sums of it stay exact enough for
`domain.rate_limit.limit_state`, which compares marks."""
MAX_OUTPUT_TOKENS = 1_000_000
"""No model gives as many: a larger number in a reply's `usage` says nothing."""


class Usage(Struct, frozen=True, gc=False):
    """What a reply says that its request took."""

    prompt_tokens: int
    """Also those from the provider's prompt cache."""
    output_tokens: int
    cached_tokens: int = 0
    """Those of the prompt from the provider's prompt cache; 0 also where the reply does not say."""
    written_tokens: int = 0
    """Those of the prompt that were written to it, likewise."""

    def adds_up(self) -> bool:
        """Is no more said of the prompt's tokens than there are of them?"""
        return self.cached_tokens + self.written_tokens <= self.prompt_tokens


class Demand(Struct, frozen=True, gc=False):
    """What can be seen of a request's size before it is sent."""

    text_bytes: int
    attachments: int = 0
    max_output_tokens: int | None = None
    """The most output that was asked for; None = the request sets no limit."""

    @classmethod
    def of(cls, body: bytes, max_output_tokens: int | None, outline: bytes = b"") -> "Demand":
        """Base64 attachments are many bytes and few tokens: data URLs are counted, not measured. `outline`: that of the
        body, see `elide_long_strings`; empty = nobody made it yet."""
        size, attachments = len(body), 0
        if (outline or body).find(_ATTACHMENT) < 0:
            return cls(size, 0, max_output_tokens)
        at = body.find(_ATTACHMENT)
        while at >= 0:
            end = body.find(b'"', at)
            end = len(body) if end < 0 else end
            size -= end - at
            attachments += 1
            at = body.find(_ATTACHMENT, end)
        return cls(size, attachments, max_output_tokens)


class TokenEstimate(Struct, frozen=True, gc=False):
    """What was learned of one bucket's requests."""

    tokens_per_byte: float = _TOKENS_PER_BYTE
    output_tokens: float = 16.0
    """What answers take where the request sets no limit."""

    def tokens(self, demand: Demand) -> float:
        """The guess for a request: from 0 to `MAX_REQUEST_TOKENS`."""
        asked = demand.max_output_tokens
        tokens = demand.text_bytes * self.tokens_per_byte + (self.output_tokens if asked is None else asked)
        if demand.attachments:
            tokens += demand.attachments * _TOKENS_PER_ATTACHMENT
        return tokens if tokens < MAX_REQUEST_TOKENS else MAX_REQUEST_TOKENS

    def output(self, demand: Demand) -> float:
        """Those of the answer, of the guess."""
        asked = demand.max_output_tokens
        return self.output_tokens if asked is None else asked

    def after_usage(self, demand: Demand, usage: Usage) -> "TokenEstimate":
        """A reply said what its request took; what came with attachments says nothing about text, and a number that
        cannot be meant says nothing at all."""
        answered, prompt_tokens, text_bytes = usage.output_tokens, usage.prompt_tokens, demand.text_bytes
        if answered > MAX_OUTPUT_TOKENS or prompt_tokens > MAX_REQUEST_TOKENS:
            return self
        per_byte, output = self.tokens_per_byte, self.output_tokens
        if text_bytes > 0 and prompt_tokens > 0 and not demand.attachments:
            # Never below the start: limits are charged by length, whatever the text turns out to be.
            seen = prompt_tokens / text_bytes
            if seen > 1.0:
                seen = 1.0
            elif seen < _TOKENS_PER_BYTE:
                seen = _TOKENS_PER_BYTE
            per_byte += _LEARNING_RATE * (seen - per_byte)
        return TokenEstimate(per_byte, output + _LEARNING_RATE * ((answered if answered > 0 else 0) - output))


UNTAUGHT = TokenEstimate()
"""Of a bucket whose requests nothing was learned of yet."""


class ProvisionedEstimate(TokenEstimate, frozen=True, gc=False):
    """The same of provisioned capacity, in input tokens: each token of an answer counts for several of them (Azure
    OpenAI provisioned throughput guide: from gpt-4.1 on as many as its price is that of an input token)."""

    output_ratio: float = 1.0
    """So many."""

    def tokens(self, demand: Demand) -> float:
        """See `TokenEstimate`."""
        return min(super().tokens(demand) + (self.output_ratio - 1.0) * self.output(demand), MAX_REQUEST_TOKENS)

    def after_usage(self, demand: Demand, usage: Usage) -> "ProvisionedEstimate":
        """See `TokenEstimate`."""
        learned = super().after_usage(demand, usage)
        return ProvisionedEstimate(learned.tokens_per_byte, learned.output_tokens, self.output_ratio)

    def taken(self, usage: Usage) -> float:
        """What a request took in the end: its prompt without what came from the prompt cache, which is deducted wholly,
        and its answer, reasoning included."""
        return max(0.0, float(usage.prompt_tokens - usage.cached_tokens)) + self.output_ratio * usage.output_tokens
