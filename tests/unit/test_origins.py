"""Which web pages are let in."""

import pytest

from adapters.http.access.guards import Guard, NotAllowed
from adapters.http.access.origins import Origins
from entrypoints.config.reading.schema import Refused
from entrypoints.config.urls import origin as parsed


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ("https://a.com", "https://a.com"),
        ("https://a.com:443", "https://a.com"),
        ("https://a.com", "https://a.com:443"),
        ("http://a.com:80", "http://a.com"),
        ("HTTPS://A.com", "https://a.COM"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("vscode-webview://1a2b3c", "vscode-webview://1a2b3c"),
        ("file://", "file://"),
        ("null", "null"),
        ("chrome-extension://*", "chrome-extension://abcdefghijklmnop"),
        ("moz-extension://*", "moz-extension://0f2d9e4c-1111-2222-3333-444455556666"),
        ("vscode-webview://*", "vscode-webview://0123"),
        ("http://localhost:*", "http://localhost"),
        ("http://localhost:*", "http://localhost:3000"),
        ("https://*.example.com", "https://a.b.example.com"),
        ("https://*.example.com:*", "https://a.example.com:8443"),
        ("*", "https://anything.example"),
        ("*", "null"),
    ],
)
def test_an_origin_that_is_allowed_is_let_in(allowed: str, origin: str) -> None:
    origins = Origins([parsed(allowed)])

    assert origins
    assert origins.allows(origin.encode())


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ("https://a.com", "http://a.com"),
        ("https://a.com", "https://a.com:80"),
        ("http://a.com", "http://a.com:443"),
        ("https://a.com", "https://a.com.evil.example"),
        ("https://a.com", "https://xa.com"),
        ("https://a.com", "null"),
        ("chrome-extension://*", "moz-extension://abc"),
        ("chrome-extension://*", "chrome-extension://abc/https://evil.example"),
        ("chrome-extension://*", "https://chrome-extension"),
        ("http://localhost:*", "http://localhost.evil.example"),
        ("http://localhost:*", "http://localhost:3000.evil.example"),
        ("http://localhost:*", "http://localhost:"),
        ("https://*.example.com", "https://example.com"),
        ("https://*.example.com", "https://evilexample.com"),
        ("https://*.example.com", "https://evil/.example.com"),
        ("https://*.example.com", "https://a:80.example.com"),
        ("https://*.example.com", "https://axexample.com"),
        ("*", ""),
    ],
)
def test_any_other_is_not(allowed: str, origin: str) -> None:
    assert not Origins([parsed(allowed)]).allows(origin.encode())


@pytest.mark.parametrize(
    "allowed",
    [
        "a.com", "localhost:3000", "https://", "https://*", "http://*", "https://a.com/", "https://a.com/x", "https://a.com?x",
        "https://u@a.com", "https://a*.com", "https://*", "https://a.com:0", "https://a.com:99999", "app://a/b", "app://u@b",
        "*://a.com", "**", "chrome-extension://*a", "https://a.*", "1a://b", "https://mü.example", "app://mü",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused_in_the_configuration(allowed: str) -> None:
    with pytest.raises(Refused):
        parsed(allowed)


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (b"https://evil.example:8443", '"https://evil.example:8443". To let it in, write under general_settings: '
         'allowed_origins: ["https://evil.example:8443"]'),
        (b"https://a.com:443", 'allowed_origins: ["https://a.com"]'),
        (b"app://obsidian.md", 'allowed_origins: ["app://obsidian.md"]'),
        (b"null", 'allowed_origins: ["null"]'),
    ],
)  # fmt: skip
def test_a_page_that_is_refused_is_named_with_the_line_that_lets_it_in(origin: bytes, line: str) -> None:
    guard = Guard("127.0.0.1")
    with pytest.raises(NotAllowed) as refused:
        guard.check({b"host": b"localhost", b"origin": origin})

    assert str(refused.value).endswith(line)
    written = str(refused.value).partition('["')[2].removesuffix('"]')
    Guard("127.0.0.1", allowed_origins=[parsed(written)]).check({b"host": b"localhost", b"origin": origin})


@pytest.mark.parametrize(
    ("host", "line"),
    [
        (
            b"proxy.lan:4000",
            '"proxy.lan:4000". To let it in, write under general_settings: allowed_hosts: ["proxy.lan"]',
        ),
        (b"10.0.0.7", 'allowed_hosts: ["10.0.0.7"]'),
        (b"[fd00::7]:80", 'allowed_hosts: ["[fd00::7]"]'),
    ],
)
def test_a_name_that_is_refused_is_named_with_the_line_that_lets_it_in(host: bytes, line: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        Guard("127.0.0.1").check({b"host": host})

    assert str(refused.value).endswith(line)
    written = str(refused.value).partition('["')[2].removesuffix('"]')
    Guard("127.0.0.1", allowed_hosts=[written]).check({b"host": host})


@pytest.mark.parametrize(
    "headers",
    [
        {b"host": b'x"]\nevil: "'},
        {b"host": b"x" * 500},
        {b"host": b"\xff\xfe"},
        {b"host": b"localhost", b"origin": b'https://a"]\n'},
        {b"host": b"localhost", b"origin": b"https://" + b"a" * 500},
        {b"host": b"localhost", b"origin": b"\x1b[31m"},
    ],
)
def test_what_could_not_be_written_is_quoted_and_cut_and_no_line_is_made_of_it(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(NotAllowed) as refused:
        Guard("127.0.0.1").check(headers)

    assert ": [" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_name_does_not_matter_where_it_is_not_to() -> None:
    Guard("127.0.0.1").check({b"host": b"10.1.2.3:4000"}, host=False)


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("api-key=secret-1", ""),
        ("a=b&api_key=secret-1&c=d", "a=b&c=d"),
        ("key=secret%2D1&subscription-key=secret-1&x", "x"),
        ("access_token=Bearer+secret-1", ""),
        ("secret-1", ""),
        ("k=%73ecret-1%20&a=1", "a=1"),
        ("a=b;key=secret-1&c=d", "c=d"),
        ("secret-1=&a=b", "a=b"),
        ("secret-1=1", ""),
        ("a=b;c=d", "a=b;c=d"),
        ("api-key=another&a=%2f&b", "api-key=another&a=%2f&b"),
        ("a=%ff&&=", "a=%ff&&="),
    ],
)
def test_a_key_of_the_proxys_own_in_a_query_goes_no_further(query: str, left: str) -> None:
    assert Guard("127.0.0.1", api_keys=("secret-1",)).without_keys(query) == left
