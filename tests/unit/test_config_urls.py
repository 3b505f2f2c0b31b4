"""A key is only ever sent to a URL that says clearly where, and safely; a password for Redis likewise."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stores.redis.settings import RedisSettings
from domain.secret import Secret
from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.settings import Settings

HIDDEN = "hunter2"


def load(tmp_path: Path, base_url: str, more: str = "") -> Settings:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(
        "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k, base_url: "
        f'"{base_url}"{more}}}}}]}}]',
        encoding="utf-8",
    )
    return load_settings(path, {})


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://r.openai.azure.com/openai/v1",
        "https://endpoint.url",
        "https://h.example:8443/some/path",
        "https://[2001:db8::1]/v1",
        "https://203.0.113.7/v1",
        "https://xn--mller-kva.example/v1",
        "http://127.0.0.1:8080/v1",
        "http://localhost/v1",
        "http://[::1]:9/v1",
        "http://vllm.localhost:8000/v1",
    ],
)
def test_good_urls_are_accepted_without_a_warning(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, url).warnings == ()


@pytest.mark.parametrize(
    "url",
    ["http://10.1.2.3/v1", "http://vllm:8000/v1", "http://box.local/v1", "http://m.ns.svc.cluster.local/v1"],
)
def test_http_to_a_private_host_is_accepted_with_a_warning(tmp_path: Path, url: str) -> None:
    warning = load(tmp_path, url).warnings[0]

    assert "params.base_url: over http the key travels in clear text" in warning


@pytest.mark.parametrize(
    ("url", "note"),
    [
        ("", "got an empty text"),
        ("h.example/v1", "it does not begin with http:// or https://"),
        ("ftp://h.example", "it does not begin with http:// or https://"),
        ("https:/h.example", "it does not begin with http:// or https://"),
        ("https://", "the host is missing or is no name"),
        ("https://:443/v1", "the host is missing or is no name"),
        ("https://a..b/v1", "the host is missing or is no name"),
        ("https://-a.example/v1", "the host is missing or is no name"),
        ("https://h.example:0/v1", "the port is not from 1 to 65535"),
        ("https://h.example:/v1", "the port is not from 1 to 65535"),
        ("https://h.example:70000/v1", "the port or the brackets of the host are wrong"),
        ("https://h.example:http/v1", "the port or the brackets of the host are wrong"),
        ("https://[::1/v1", "the port or the brackets of the host are wrong"),
        ("https://h.example/a b", "it holds a space"),
        ("https://h.example\\\\@evil.example/", "a backslash"),
        ("https://h.example/\\r\\nX:1", 'got "https://h.example/\\r\\nX:1"; valid'),
        ("https://müller.example/v1", "a character that is not ASCII"),
        (f"https://user:{HIDDEN}@h.example/v1", "leave out the user and password; a key belongs in api_key"),
        (f"https://{HIDDEN}@h.example/v1", "leave out the user and password"),
        ("https://@h.example/v1", "leave out the user and password"),
        (f"https://h.example/v1?key={HIDDEN}", "leave out the query; it belongs in default_query"),
        ("https://h.example/v1?", "leave out the query; it belongs in default_query"),
        ("https://h.example/v1#top", "fix: leave out the fragment"),
        ("https://h.example/v1/chat/completions", "leave out /chat/completions; the proxy adds it"),
        ("https://h.example/v1/responses/", "leave out /responses; the proxy adds it"),
        ("http://api.openai.com/v1", "over http the key would travel in clear text"),
        ("http://8.8.8.8/v1", "over http the key would travel in clear text"),
        ("http://169.254.169.254/latest", "link-local and cloud metadata addresses are never called"),
        ("https://169.254.0.1/", "link-local and cloud metadata addresses are never called"),
        ("https://[fe80::1]/", "link-local and cloud metadata addresses are never called"),
        ("https://[::ffff:169.254.169.254]/", "link-local and cloud metadata addresses are never called"),
        ("https://[fd00:ec2::254]/", "link-local and cloud metadata addresses are never called"),
        ("https://[fd20:ce::254]/", "link-local and cloud metadata addresses are never called"),
        *(
            (f"https://{host}/v1", "link-local and cloud metadata addresses are never called")
            for host in (
                *("192.0.0.192", "100.100.100.200", "168.63.129.16", "[fd00:ec2::23]", "[fd00:c1::a9fe:a9fe]"),
                *("[fd00:42::42]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[::169.254.169.254]"),
            )
        ),
        ("https://[fe80::1%25eth0]/", "the host is missing or is no name or IP address"),
        ("http://metadata.google.internal/", "link-local and cloud metadata addresses are never called"),
        ("http://METADATA.google.internal./", "link-local and cloud metadata addresses are never called"),
        ("http://2852039166/", "the host is missing or is no name or IP address"),
        ("http://0xa9fea9fe/", "the host is missing or is no name or IP address"),
        ("http://0251.0376.0251.0376/", "the host is missing or is no name or IP address"),
        ("http://0.0.0.0:8000/v1", "for this one write 127.0.0.1"),
        ("https://224.0.0.1/v1", "no single machine"),
    ],
)
def test_unclear_or_unsafe_urls_are_refused_with_the_reason(tmp_path: Path, url: str, note: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, url)

    message = str(caught.value)
    assert "model_groups[0].models[0].params.base_url: got " in message
    assert note in message
    assert "; valid: an https:// URL without user, query and fragment" in message
    assert HIDDEN not in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "more", "advice"),
    [
        ("https://api.openai.com", "", "OpenAI's base URL ends in /v1"),
        ("https://eu.api.openai.com/", "", "OpenAI's base URL ends in /v1"),
        ("https://r.openai.azure.com", "", "Azure's base_url ends in /openai/v1"),
        (
            "https://r.services.ai.azure.com/openai/v1",
            ", default_query: {api-version: preview}",
            "Foundry endpoints answer 400 to api-version on /openai/v1",
        ),
    ],
)
def test_a_url_that_will_probably_fail_is_warned_about(tmp_path: Path, url: str, more: str, advice: str) -> None:
    settings = load(tmp_path, url, more)

    assert len(settings.warnings) == 1
    assert f"params.base_url: {advice}" in settings.warnings[0]


def test_a_warned_query_is_kept_as_it_is(tmp_path: Path) -> None:
    settings = load(tmp_path, "https://r.example/openai/v1", ", default_query: {api-version: preview}")

    assert settings.groups[0].models[0].params.default_query == {"api-version": "preview"}


def redis(url: str) -> RedisSettings:
    return RedisSettings.of_url(Secret(url))


@pytest.mark.parametrize(
    ("url", "settings", "described"),
    [
        ("redis://r", RedisSettings(nodes=(("r", 6379),)), "redis://r:6379/0"),
        ("redis://r:1/", RedisSettings(nodes=(("r", 1),)), "redis://r:1/0"),
        (
            f"rediss://u:{HIDDEN}@r.example:6380/3",
            RedisSettings(nodes=(("r.example", 6380),), db=3, username="u", password=Secret(HIDDEN), ssl=True),
            "rediss://r.example:6380/3",
        ),
        (
            f"redis://:{HIDDEN}@[::1]:7?db=2",
            RedisSettings(nodes=(("::1", 7),), db=2, password=Secret(HIDDEN)),
            "redis://[::1]:7/2",
        ),
        ("redis://u@r", RedisSettings(nodes=(("r", 6379),), username="u"), "redis://r:6379/0"),
        (
            "redis://u%40h:p%2F%3a%25%C3%BC@r",
            RedisSettings(nodes=(("r", 6379),), username="u@h", password=Secret("p/:%ü")),
            "redis://r:6379/0",
        ),
        ("unix:///run/redis.sock", RedisSettings(unix_path="/run/redis.sock"), "unix:///run/redis.sock?db=0"),
        (
            f"unix://u:{HIDDEN}@/run/my%20redis.sock?db=4",
            RedisSettings(unix_path="/run/my redis.sock", db=4, username="u", password=Secret(HIDDEN)),
            "unix:///run/my redis.sock?db=4",
        ),
        (
            "redis+sentinel://h1,h2:26380/mymaster",
            RedisSettings(kind="sentinel", nodes=(("h1", 26379), ("h2", 26380)), service="mymaster"),
            "redis+sentinel://h1:26379,h2:26380/mymaster/0",
        ),
        (
            f"rediss+sentinel://u:{HIDDEN}@h1/my%20master/5?sentinel_username=s&sentinel_password=q%26",
            RedisSettings(
                kind="sentinel",
                nodes=(("h1", 26379),),
                db=5,
                username="u",
                password=Secret(HIDDEN),
                ssl=True,
                service="my master",
                sentinel_username="s",
                sentinel_password=Secret("q&"),
            ),
            "rediss+sentinel://h1:26379/my master/5",
        ),
        (
            f"redis+cluster://:{HIDDEN}@h1,[2001:db8::1]:7000",
            RedisSettings(kind="cluster", nodes=(("h1", 6379), ("2001:db8::1", 7000)), password=Secret(HIDDEN)),
            "redis+cluster://h1:6379,[2001:db8::1]:7000",
        ),
        (
            "rediss-cluster://h1/0",
            RedisSettings(kind="cluster", nodes=(("h1", 6379),), ssl=True),
            "rediss+cluster://h1:6379",
        ),
    ],
)
def test_every_form_of_a_redis_url_says_where_it_is(url: str, settings: RedisSettings, described: str) -> None:
    assert redis(url) == settings
    assert redis(url).described == described
    assert HIDDEN not in repr(redis(url))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("r:6379", "does not begin with"),
        ("http://:{}@r", "does not begin with"),
        ("redis+tls://:{}@r", "does not begin with"),
        ("redis:/:{}@r", "does not begin with"),
        ("redis://", "a host is missing"),
        ("redis://:{}@", "a host is missing"),
        ("redis://:{}@r:0", "the port is not from 1 to 65535"),
        ("redis://:{}@r:70000", "the port is not from 1 to 65535"),
        ("redis://:{}@r:port", "its port is no number"),
        ("redis://:{}@r:1:2", "its port is no number"),
        ("redis://:{}@::1", "its port is no number"),
        ("redis://:{}@a..b", "a host is no name or IP address"),
        ("redis://:{}@-a", "a host is no name or IP address"),
        ("redis://:{}@2852039166", "a host is no name or IP address"),
        ("redis://@r", "neither user nor password"),
        ("redis://:@r", "neither user nor password"),
        ("redis://:{}@r/x", "the database is not a number"),
        ("redis://:{}@r/1/2", "the database is not a number"),
        ("redis://:{}@r/1?db=2", "given twice"),
        ("redis://:{}@r?db=1&db=1", "empty or given twice"),
        ("redis://:{}@r?db=", "empty or given twice"),
        ("redis://:{}@r?timeout=1", "an unknown query parameter; valid: db"),
        ("redis://r?{}=1", "an unknown query parameter; valid: db"),
        ("redis://:{}@a,b", "several hosts are a redis+sentinel://"),
        ("redis://:{}@r/0#x", "a # or a character"),
        ("redis://:{} x@r", "it holds a space"),
        ("redis://:{}ü@r", "not ASCII; write those as %XX"),
        ("redis://:{}%2@r", "a % is not followed by two hexadecimal digits; write % itself as %25"),
        ("redis://:{}%FF@r", "a %XX is no UTF-8"),
        ("redis://:{}%00@r", "a control character"),
        ("unix://run/redis.sock", "the path of the socket is missing"),
        ("unix://", "the path of the socket is missing"),
        ("unix:///", "the path of the socket is missing"),
        ("unix:///s?password={}", "an unknown query parameter; valid: db"),
        ("redis+sentinel://:{}@h", "the name of the master is missing"),
        ("redis+sentinel://:{}@h//0", "the name of the master is missing"),
        ("redis+sentinel://:{}@h,,i/m", "a host is missing"),
        ("redis+sentinel://:{}@h/m?password=x", "valid: db, sentinel_username, sentinel_password"),
        ("redis+cluster://:{}@h/1", "a cluster has no databases"),
        ("redis+cluster://:{}@h?db=1", "an unknown query parameter; this form has none"),
    ],
)
def test_a_wrong_redis_url_is_refused_without_showing_it(tmp_path: Path, url: str, reason: str) -> None:
    path = tmp_path / "llmproxy.yaml"
    url = url.replace("{}", HIDDEN)
    path.write_text(
        f"general_settings: {{redis_url: '{url}'}}\nmodel_groups: [{{model_group: g, models: [{{model: m}}]}}]",
        encoding="utf-8",
    )

    with pytest.raises(ConfigError) as refused:
        load_settings(path, {})

    assert "general_settings.redis_url: " in str(refused.value)
    assert reason in str(refused.value)
    assert HIDDEN not in str(refused.value)


@given(st.text(), st.text(), st.integers(1, 65_535), st.integers(0, 9999))
def test_any_user_and_password_survive_a_url(user: str, password: str, port: int, db: int) -> None:
    user, password = ("".join(c for c in text if c >= " " and c != "\x7f" and c.isascii()) for text in (user, password))
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""

    settings = redis(f"redis://{login}h:{port}/{db}")

    assert settings.username == (user or None)
    assert settings.password == (Secret(password) if password else None)
    assert (settings.nodes, settings.db) == ((("h", port),), db)


@given(
    st.sampled_from(["redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "redis-cluster", ""]),
    st.text(st.sampled_from("abz019:@/?&=%,[]#.-_ \\\x00é"), max_size=40),
)
def test_no_redis_url_does_anything_but_mean_something_or_be_refused(scheme: str, rest: str) -> None:
    try:
        settings = redis(f"{scheme}://{rest}")
    except ValueError as reason:
        assert type(reason) is ValueError
        assert reason.__cause__ is None
    else:
        assert settings.nodes or settings.unix_path
        assert settings.described
