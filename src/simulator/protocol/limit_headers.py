"""What replies say about the limits, and how a refusal is worded.

OpenAI: Go durations, `retry-after` in whole seconds (OpenAI rate-limits guide). Azure: bare numbers, `retry-after-ms`
(Azure OpenAI quota documentation); a request larger than the whole limit is told to wait a day
(vanderschaarlab/climb#1). A provisioned deployment tells how full it is (Azure/azure-openai-benchmark), and not what
remains.
"""

from math import ceil, isinf

from simulator.limits import (
    Dimension,
    Gauge,
    Limiter,
    Verdict,
    continuous_limiter,
    limiter_of_windows,
    windowed_limiter,
)
from simulator.protocol.errors import azure_error, openai_error
from simulator.protocol.reply import Reply, header_lines
from simulator.protocol.routes import Route
from simulator.provisioned import ProvisionedLimiter
from simulator.settings import HeaderStyle, ProviderSettings

_ORGANIZATION = "org-simulated"
_UNITS: dict[Dimension, str] = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}
_AZURE_UNITS: dict[Dimension, str] = {"requests": "call", "tokens": "token"}
_A_DAY_S = 86_400


def limiter_for(settings: ProviderSettings) -> Limiter:
    """A fresh limiter that counts as the settings say."""
    if settings.header_style == "ptu" and settings.tpm is not None:
        return ProvisionedLimiter(settings.tpm)
    if settings.window_s is not None:
        return limiter_of_windows(settings.rpm, settings.tpm, settings.window_s, settings.windows)
    make = windowed_limiter if settings.header_style == "azure" else continuous_limiter
    return make(settings.rpm, settings.tpm)


def limit_headers(verdict: Verdict, style: HeaderStyle) -> bytes:
    """The `x-ratelimit-*` lines; nothing for a dimension without a limit, nothing at all in style `none`."""
    if style == "none":
        return b""
    if style == "ptu":
        return _utilization(verdict)
    lines = b""
    for dimension, gauge in ((b"requests", verdict.requests), (b"tokens", verdict.tokens)):
        if gauge is not None:
            lines += b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %b\r\n" % (
                dimension,
                gauge.limit,
                dimension,
                gauge.remaining,
                dimension,
                _reset(gauge, style),
            )
    return lines


def _utilization(verdict: Verdict) -> bytes:
    gauge = verdict.tokens
    if gauge is None:
        return b""
    return b"azure-openai-deployment-utilization: %.1f%%\r\n" % (100 * (1 - gauge.remaining / gauge.limit))


def spillover_headers(model: str) -> bytes:
    """Of a reply of the standard deployment, where the provisioned one called `model` was full (Azure OpenAI spillover
    guide)."""
    told = {
        "x-ms-spillover-from-deployment": model,
        "x-ms-deployment-name": f"{model}-standard",
        "x-ms-spillover-error": "429",
    }
    return header_lines(told)


def _reset(gauge: Gauge, style: HeaderStyle) -> bytes:
    return b"%d" % ceil(gauge.reset_s) if style == "azure" else go_duration(gauge.reset_s).encode()


def go_duration(seconds: float) -> str:
    """As Go prints a duration: `0s`, `12ms`, `8.764s`, `6m0s`, `1h0m2.5s`. Rounded up to a millisecond."""
    total_ms = ceil(round(seconds * 1000, 6))
    if total_ms == 0:
        return "0s"
    if total_ms < 1000:
        return f"{total_ms}ms"
    minutes, rest_ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}h{minutes}m" if hours else (f"{minutes}m" if minutes else "")
    return f"{whole}{rest_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"


def limit_refusal(verdict: Verdict, model: str, route: Route, settings: ProviderSettings) -> Reply:
    """The 429 for a verdict that refuses."""
    style = settings.header_style
    if style == "none":
        return openai_error(429, "Too Many Requests", kind="rate_limit_error", limited=True)
    reply = (_azure_refusal if style in ("azure", "ptu") else _openai_refusal)(verdict, model, route, settings)
    reply.headers = limit_headers(verdict, style) + reply.headers
    reply.limited = True
    return reply


def _openai_refusal(verdict: Verdict, model: str, _route: Route, _settings: ProviderSettings) -> Reply:
    dimension: Dimension = verdict.refused_by or "requests"
    gauge = verdict.requests if dimension == "requests" else verdict.tokens
    limit, remaining = (0, 0) if gauge is None else (gauge.limit, gauge.remaining)
    where = f"for {model} in organization {_ORGANIZATION} on {_UNITS[dimension]}"
    more = "Visit https://platform.openai.com/account/rate-limits to learn more."
    if isinf(verdict.wait_s):
        return openai_error(
            429,
            f"Request too large {where}: Limit {limit}, Requested {verdict.requested}. The input or output tokens "
            f"must be reduced in order to run successfully. {more}",
            kind=dimension,
            code="rate_limit_exceeded",
        )
    return openai_error(
        429,
        f"Rate limit reached {where}: Limit {limit}, Used {limit - remaining}, Requested {verdict.requested}. "
        f"Please try again in {go_duration(verdict.wait_s)}. {more}",
        kind=dimension,
        code="rate_limit_exceeded",
        headers=header_lines({"retry-after": str(max(1, ceil(verdict.wait_s)))}),
    )


def _azure_refusal(verdict: Verdict, model: str, route: Route, settings: ProviderSettings) -> Reply:
    wait_s = _A_DAY_S if isinf(verdict.wait_s) else verdict.wait_s
    shown_s = max(1, ceil(wait_s))
    return azure_error(
        429,
        "RateLimitReached",
        f"Your requests to {model} for {model} in {settings.region} have exceeded the "
        f"{_AZURE_UNITS[verdict.refused_by or 'requests']} rate limit for your current OpenAI S0 pricing tier. This "
        f"request was for {route.azure_operation} under Azure OpenAI API version {route.api_version}. Please retry "
        f"after {shown_s} seconds. To increase your default rate limit, visit: https://aka.ms/oai/quotaincrease.",
        headers=header_lines({"retry-after": str(shown_s), "retry-after-ms": str(max(1, ceil(wait_s * 1000)))}),
    )
