"""What a simulated provider can be told about itself. One Struct serves flags, scenario file and control API."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

PerMinute = Annotated[int, Meta(ge=1)]
HeaderStyle = Literal["openai", "azure", "none", "ptu"]
Windows = Literal["fixed", "aligned", "sliding"]


class ProviderSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """How the provider behaves when nothing is wrong. `None` means "not limited" or "at once"."""

    name: Annotated[str, Meta(min_length=1, max_length=100)] = "provider"
    """Mentioned in every answer, so that a test can tell who answered."""
    latency_s: Annotated[float, Meta(ge=0, le=3600)] = field(default=0.0, name="latency")
    """Seconds before the headers of an answer (a refusal such as 401 or 429 comes at once)."""
    tokens_per_second: Annotated[float, Meta(gt=0)] | None = None
    """Pace of the token events of a stream; None: as fast as the client reads."""
    rpm: PerMinute | None = None
    """Requests a minute for each credential and model; None: no limit."""
    tpm: PerMinute | None = None
    """Tokens a minute for each credential and model; None: no limit."""
    header_style: HeaderStyle = "openai"
    """How the limits count and what replies say about them: see `limits` and `limit_headers`."""
    window_s: Annotated[float, Meta(gt=0, le=86_400)] | None = field(default=None, name="window")
    """Then `rpm` and `tpm` are what is let in within each so many seconds, in whichever style; None: as the style
    counts."""
    windows: Windows = "fixed"
    """Where the windows lie: one after the other from the first request on, by the clock, or before each request."""
    output_token_ratio: Annotated[float, Meta(ge=1, le=100)] = 1
    """With style `ptu`: an output token counts for so many input tokens."""
    spillover: bool = False
    """Whether a standard deployment answers what a provisioned one (style `ptu`) refuses, as Azure has it."""
    api_keys: tuple[str, ...] = ()
    """Credentials that are let in; empty: every request is, but for keys where Azure wants an Entra token."""
    entra_tokens: tuple[str, ...] = ()
    """Tokens that are let in on Azure's paths besides. On its dated paths nothing else is taken as Bearer."""
    models: tuple[str, ...] = ()
    """Models (or Azure deployments) that exist; empty: every one does."""
    answer_tokens: Annotated[int, Meta(ge=1, le=100_000)] = 16
    """How long an answer is when `max_tokens` does not cut it; one word is one token."""
    denials: Annotated[int, Meta(ge=0)] = 0
    """How often each new response is denied, as `previous_response_id`, before it is found: Azure is known to deny for
    a moment what it has just made (dotnet/extensions#7704)."""
    session_s: Annotated[float, Meta(gt=0, le=86_400)] = field(default=3600.0, name="session")
    """How long a Realtime session may last; a Responses socket takes no more turns then."""
    message_bytes: Annotated[int, Meta(ge=1, le=1 << 28)] = 16 << 20
    """The largest message that is taken on a Responses socket; a larger one closes it with 1009."""
    region: str = "East US 2"
    """What Azure replies say in `x-ms-region` and in refusals."""
    seed: int = 0
    """Of the dice that `probability` in a fault rule rolls."""
