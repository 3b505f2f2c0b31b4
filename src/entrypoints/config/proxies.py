"""What the proxies of the environment mean for the endpoints: said at start, as no call says it."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from adapters.upstreams.outbound.proxies import EnvironmentProxies, UnusableProxy
from entrypoints.config.reading.mistakes import Place, Report
from entrypoints.config.reading.shown import may_be_credential
from entrypoints.config.settings import EndpointSettings, GeneralSettings, GroupSettings, models_of

_PORTS = {"http": 80, "https": 443}


def check_environment_proxies(
    groups: Sequence[GroupSettings], general: GeneralSettings, environ: Mapping[str, str], report: Report
) -> None:
    """A mistake where calls would certainly fail, a warning where the environment says what is not followed."""
    proxies, here = EnvironmentProxies(environ), report.at("general_settings")
    if general.outbound_proxy is not None:
        if general.trust_env:
            here.warn("trust_env", "has no effect with outbound_proxy, which holds for all hosts; NO_PROXY is not read")
        return
    concerned: dict[str, str] = {}  # the first endpoint that each variable would be for
    for path, model in models_of(groups):
        if (variable := _variable(model, proxies)) is not None:
            concerned.setdefault(variable, path)
    if general.trust_env:
        _check_usable(proxies, concerned, here)
        _check_no_proxy(proxies, environ, here)
    elif concerned and "trust_env" not in here.given:
        state = f"{' and '.join(concerned)} in the environment is not followed and endpoints are called directly"
        valid = "trust_env: true to follow it, trust_env: false to say that it is not meant, or outbound_proxy"
        here.warn("trust_env", f"{state}; valid: {valid}")


def _check_usable(proxies: EnvironmentProxies, concerned: Mapping[str, str], here: Place) -> None:
    for variable in proxies.variables:
        try:
            proxies.proxy(variable)
        except UnusableProxy as why:
            problem = f"{variable} in the environment {why}"
            if variable not in concerned:
                here.warn("trust_env", f"{problem}; no endpoint is called through it")
                continue
            problem += f", and {concerned[variable]} would be called through it"
            valid = "http://host:port there, its host in NO_PROXY, outbound_proxy for that model, or trust_env: false"
            fix = f"export {variable}=http://host:port, or write outbound_proxy: none beside that model"
            here.add("trust_env", problem, valid, fix)


def _check_no_proxy(proxies: EnvironmentProxies, environ: Mapping[str, str], here: Place) -> None:
    name = proxies.no_proxy_variable
    for entry in proxies.no_proxy.unread:
        shown = "an entry that is not shown" if may_be_credential(entry) else f'"{entry[:60]}"'
        valid = "a name, .name, *.name or an IP address, with or without :port, a network such as 10.0.0.0/8, or *"
        here.warn("trust_env", f"{name} in the environment has {shown}, which means no host; valid: {valid}")
    others = [other for other in ("no_proxy", "NO_PROXY") if environ.get(other, "").strip()]
    if len(others) == 2 and environ[others[0]] != environ[others[1]]:
        here.warn("trust_env", "no_proxy and NO_PROXY in the environment differ; no_proxy is the one that is read")


def _variable(model: EndpointSettings, proxies: EnvironmentProxies) -> str | None:
    """The variable with the proxy that an endpoint would be called through; None = none."""
    if model.outbound_proxy is not None:
        return None
    parts = urlsplit(model.params.azure_endpoint or model.params.base_url or "")
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return proxies.variable(is_tls=parts.scheme == "https", host=parts.hostname or "", port=port)
