"""Which proxy stands between here and an endpoint: NO_PROXY as Go and curl read it, and what the variables say."""

import ssl
from collections.abc import Mapping

import pytest

from adapters.upstreams.entra import DefaultAzureTokens
from adapters.upstreams.outbound.no_proxy import NoProxy
from adapters.upstreams.outbound.proxies import (
    EnvironmentProxies,
    OutboundProxies,
    OutboundProxy,
    UnusableProxy,
    outbound_proxy,
)

# The tables of golang.org/x/net/http/httpproxy/proxy_test.go (BSD licence, The Go Authors), on port 80.
GO_NO_PROXY = (
    "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, "
    "2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64"
)
GO_USE_PROXY = [
    ("localhost", False),
    ("127.0.0.1", False),
    ("127.0.0.2", False),
    ("[::1]", False),
    ("[::2]", True),
    ("192.168.1.1", False),
    ("192.168.1.2", True),
    ("192.168.1.3", False),
    ("192.168.1.4", True),
    ("10.0.0.2", False),
    ("[2001:db8::52:0:1]", False),
    ("[2001:db8::52:0:2]", True),
    ("[2001:db8::52:0:3]", False),
    ("[2002:db8:a::123]", False),
    ("[fe80::424b:c8be:1643:a1b6]", True),
    ("barbaz.net", True),
    ("www.barbaz.net", False),
    ("foobar.com", False),
    ("www.foobar.com", False),
    ("foofoobar.com", True),
    ("baz.com", True),
    ("localhost.net", True),
    ("local.localhost", True),
    ("barbarbaz.net", True),
    ("wildcard.io", True),
    ("nested.wildcard.io", False),
    ("awildcard.io", True),
]
GO_PROXY_FOR_URL: list[tuple[dict[str, str], str, str | None]] = [
    ({"HTTP_PROXY": "127.0.0.1:8080"}, "http://example.com", "http://127.0.0.1:8080"),
    ({"HTTP_PROXY": "cache.corp.example.com:1234"}, "http://example.com", "http://cache.corp.example.com:1234"),
    ({"HTTP_PROXY": "cache.corp.example.com"}, "http://example.com", "http://cache.corp.example.com:80"),
    ({"HTTP_PROXY": "localhost"}, "http://example.com", "http://localhost:80"),
    ({"HTTP_PROXY": "http://127.0.0.1:8080"}, "http://example.com", "http://127.0.0.1:8080"),
    ({"HTTP_PROXY": "http.test", "HTTPS_PROXY": "secure.test"}, "http://insecure.tld/", "http://http.test:80"),
    ({"HTTP_PROXY": "http.test", "HTTPS_PROXY": "secure.test"}, "https://secure.tld/", "http://secure.test:80"),
    ({"HTTP_PROXY": "http.test"}, "https://secure.tld/", None),
    ({"HTTP_PROXY": "http://10.1.2.3:8080", "REQUEST_METHOD": "GET"}, "http://example.com", None),
    ({"HTTPS_PROXY": "http://10.1.2.3:8080", "REQUEST_METHOD": "GET"}, "https://secure.tld/", "http://10.1.2.3:8080"),
    ({}, "http://example.com", None),
    ({"NO_PROXY": "example.com", "HTTP_PROXY": "proxy"}, "http://example.com", None),
    ({"NO_PROXY": ".example.com", "HTTP_PROXY": "proxy"}, "http://example.com", "http://proxy:80"),
    ({"NO_PROXY": "ample.com", "HTTP_PROXY": "proxy"}, "http://example.com", "http://proxy:80"),
    ({"NO_PROXY": "example.com", "HTTP_PROXY": "proxy"}, "http://foo.example.com", None),
    ({"NO_PROXY": ".foo.com", "HTTP_PROXY": "proxy"}, "http://example.com", "http://proxy:80"),
    ({"NO_PROXY": ".示例.com", "HTTP_PROXY": "proxy"}, "http://www.xn--fsq092h.com", None),
    ({"NO_PROXY": "示例.com", "HTTP_PROXY": "proxy"}, "http://www.xn--fsq092h.com", None),
    ({"NO_PROXY": "xn--fsq092h.com", "HTTP_PROXY": "proxy"}, "http://www.xn--fsq092h.com", None),
]


def way(environ: Mapping[str, str], url: str) -> OutboundProxy | None:
    """The proxy that calls of a URL go through."""
    scheme, _, host = url.rstrip("/").partition("://")
    proxies = EnvironmentProxies(environ)
    variable = proxies.variable(is_tls=scheme == "https", host=host, port=443 if scheme == "https" else 80)
    return None if variable is None else proxies.proxy(variable)


@pytest.mark.parametrize(("host", "is_proxied"), GO_USE_PROXY)
def test_no_proxy_means_what_it_means_to_go(host: str, is_proxied: bool) -> None:
    assert NoProxy(GO_NO_PROXY).holds(host, 80) is not is_proxied
    assert NoProxy("*").holds(host, 80)


@pytest.mark.parametrize(("environ", "url", "expected"), GO_PROXY_FOR_URL)
def test_variables_mean_what_they_mean_to_go(environ: dict[str, str], url: str, expected: str | None) -> None:
    proxy = way(environ, url)

    assert (proxy and proxy.url) == expected


@pytest.mark.parametrize(
    ("entries", "host", "port"),
    [
        ("10.0.0.0/8", "10.200.3.4", 443),
        ("10.1.2.3/8", "10.200.3.4", 443),
        ("fd00::/8", "fd12::1", 443),
        ("[fd00::]/8", "[fd12::1]", 443),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 443),
        ("::ffff:10.0.0.0/104", "10.1.2.3", 443),
        ("10.1.2.3", "10.1.2.3", 8443),
        ("10.1.2.3:8443", "10.1.2.3", 8443),
        ("[fd00::1]:8443", "fd00::1", 8443),
        ("fd00::1", "fd00:0:0::1", 443),
        ("corp.example", "corp.example", 443),
        ("corp.example", "a.b.corp.example", 443),
        ("corp.example.", "a.corp.example", 443),
        ("corp.example", "a.corp.example.", 443),
        (".corp", "a.corp", 443),
        ("*.corp", "a.corp", 443),
        ("a.corp:8443", "a.corp", 8443),
        ("x:1,\ty.test  corp.example", "a.corp.example", 443),
        (",, *,", "anything.test", 443),
        ("", "LOCALHOST", 80),
        ("", "localhost.", 80),
        ("", "::ffff:127.0.0.1", 80),
        ("", "127.9.9.9", 80),
    ],
)
def test_these_are_called_directly(entries: str, host: str, port: int) -> None:
    assert NoProxy(entries).holds(host, port)


@pytest.mark.parametrize(
    ("entries", "host", "port"),
    [
        ("10.0.0.0/8", "11.0.0.1", 443),
        ("10.0.0.0/8", "fd00::1", 443),
        ("fd00::/8", "fe00::1", 443),
        ("10.1.2.3:8443", "10.1.2.3", 443),
        ("a.corp:8443", "a.corp", 443),
        ("corp.example", "notcorp.example", 443),
        ("corp.example", "example", 443),
        ("example.com", "1000::%.example.com", 123),
        ("", "a.localhost", 80),
    ],
)
def test_these_go_through_the_proxy(entries: str, host: str, port: int) -> None:
    assert not NoProxy(entries).holds(host, port)


@pytest.mark.parametrize(
    "entry",
    [":1", "10.*", "10.", "192.168", "*corp", "a.*.b", "http://a.test", "a.test/b", "10.0.0.0/33", "a:b:c", "[a"],
)
def test_an_entry_that_means_no_host_is_told(entry: str) -> None:
    entries = NoProxy(f"good.test {entry}")

    assert list(entries.unread) == [entry]
    assert entries.holds("good.test", 443)
    assert not entries.holds("10.1.2.3", 1)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:2"}, "http://low:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://up:2"}, "http://up:2"),
        ({"ALL_PROXY": "http://all:3"}, "http://all:3"),
        ({"all_proxy": "http://all:3", "HTTPS_PROXY": "http://up:2"}, "http://up:2"),
        ({"HTTPS_PROXY": "http://up:2", "no_proxy": "e.test", "NO_PROXY": "x.test"}, None),
        ({"HTTPS_PROXY": "http://up:2", "no_proxy": "x.test", "NO_PROXY": "e.test"}, "http://up:2"),
        ({"HTTPS_PROXY": "http://up:2", "no_proxy": " ", "NO_PROXY": "e.test"}, None),
        ({"HTTPS_PROXY": "http://us%40er:p%3Ass@up:2"}, "http://us%40er:p%3Ass@up:2"),
        ({"HTTPS_PROXY": "http://[fd00::1]:2/"}, "http://[fd00::1]:2"),
    ],
)
def test_which_variable_counts(environ: dict[str, str], expected: str | None) -> None:
    proxy = way(environ, "https://e.test")

    assert (proxy and proxy.url) == expected


@pytest.mark.parametrize("url", ["socks5://h:1", "socks5h://h:1", "socks4://h", "https://h:1", "ftp://h", "http://"])
def test_what_is_no_http_proxy_is_refused_in_words_without_its_credentials(url: str) -> None:
    with pytest.raises(UnusableProxy) as refused:
        outbound_proxy(url.replace("://", "://user:hunter2@"))

    assert "hunter2" not in str(refused.value)


def test_a_proxy_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(outbound_proxy("http://user:hunter2@h:1"))


def test_an_endpoints_own_proxy_comes_first_then_the_general_one_then_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://environment:1")
    monkeypatch.setenv("no_proxy", "direct.test")
    trusting = OutboundProxies(None, trust_env=True)
    fixed = OutboundProxies("http://general:2", trust_env=True)

    def host_of(proxies: OutboundProxies, own: str | None, host: str = "e.test") -> str | None:
        proxy = proxies.between(own, is_tls=True, host=host, port=443)
        return proxy and proxy.host

    assert host_of(trusting, None) == "environment"
    assert host_of(trusting, None, "direct.test") is None
    assert host_of(trusting, "http://own:3", "direct.test") == "own"
    assert host_of(trusting, "") is None
    assert host_of(fixed, None, "direct.test") == "general"
    assert host_of(fixed, "http://own:3") == "own"
    assert host_of(fixed, "") is None
    assert host_of(OutboundProxies(None, trust_env=False), None) is None


def test_tokens_are_fetched_by_the_same_rule_and_the_metadata_service_is_always_asked_directly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://user:p%40ss@environment:1")
    monkeypatch.setenv("http_proxy", "http://environment:1")
    monkeypatch.setenv("no_proxy", "10.0.0.0/8")
    trusting = DefaultAzureTokens(ssl.create_default_context(), trust_env=True)
    fixed = DefaultAzureTokens(ssl.create_default_context(), outbound_proxy="http://general:2")

    assert trusting._proxy_for("https://login.microsoftonline.com/t/token") == "http://user:p%40ss@environment:1"
    assert trusting._proxy_for("https://10.1.2.3/token") is None
    assert fixed._proxy_for("https://10.1.2.3/token") == "http://general:2"
    for tokens in (trusting, fixed):
        assert tokens._proxy_for("http://169.254.169.254/metadata/identity/oauth2/token") is None
