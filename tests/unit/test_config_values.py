"""Values that mean something although they are written otherwise, and what is shown of those that do not."""

from pathlib import Path

import pytest

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.reading.shown import shown, shown_url
from entrypoints.config.settings import Settings

GROUP = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k}}]}]\n"


def load(folder: Path, general: str, groups: str = GROUP, **environ: str) -> Settings:
    path = folder / "llmproxy.yaml"
    path.write_text(f"general_settings: {{{general}}}\n{groups}", encoding="utf-8")
    return load_settings(path, environ)


def refusal(folder: Path, general: str, groups: str = GROUP, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, general, groups, **environ)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("INFO", "info"), ("Debug", "debug"), ("WARNING", "warning"), ("warn", "warning"), ("WARN", "warning"),
        ("ERROR", "error"), ("CRITICAL", "error"), ("trace", "debug"), ("info", "info"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("from_variable", [False, True])
def test_a_log_level_is_read_in_any_case(tmp_path: Path, word: str, level: str, from_variable: bool) -> None:
    written = "os.environ/LOG_LEVEL" if from_variable else word

    assert load(tmp_path, f"log_level: {written}", LOG_LEVEL=word).general.log_level == level


def test_so_is_every_other_choice(tmp_path: Path) -> None:
    general = load(
        tmp_path,
        "log_format: JSON, upstream_client: HTTP1, workers: AUTO, redis_host: h, cache: true, "
        "cache_params: {type: Redis, scope: Credential, when_temperature_absent: CACHE}",
    ).general

    assert (general.log_format, general.upstream_client, general.workers) == ("json", "http1", "auto")
    cache = general.cache_params
    assert (cache.type, cache.scope, cache.when_temperature_absent) == ("redis", "credential", "cache")


@pytest.mark.parametrize("off", ["off", "'off'", "OFF", "os.environ/OFF"])
def test_what_can_be_off_is_so_with_and_without_quotes(tmp_path: Path, off: str) -> None:
    group = GROUP.replace("model_group: g", f"model_group: g, websockets: {off}")
    settings = load(tmp_path, f"websockets: {off}, passthrough: {off}", group, OFF="off")

    assert (settings.general.websockets, settings.general.passthrough) == ("off", "off")
    assert settings.groups[0].websockets == "off"


def test_what_can_only_be_off_cannot_be_on(tmp_path: Path) -> None:
    assert "got on; valid: bridge or native or off" in refusal(tmp_path, "websockets: on")


def test_a_cache_in_memory_may_be_called_local(tmp_path: Path) -> None:
    assert load(tmp_path, "cache: true, cache_params: {type: local}").general.cache_type == "memory"


@pytest.mark.parametrize("key", ["redis_port", "bind_port"])
@pytest.mark.parametrize("link", ["tcp://10.0.0.1:6379", "udp://10.0.0.1:6379", "tcp://[fd00::1]:6379"])
def test_a_port_that_a_service_link_has_overwritten_is_told_with_the_ways_out(
    tmp_path: Path, key: str, link: str
) -> None:
    message = refusal(tmp_path, f"redis_host: h, {key}: os.environ/REDIS_PORT", REDIS_PORT=link)

    assert f"general_settings.{key}: got the value of the environment variable REDIS_PORT" in message
    assert "this is what Kubernetes and docker's links set for a service of that name" in message
    assert "fix: write 6379 here, another variable's name, or enableServiceLinks: false in the pod" in message


def test_so_is_one_of_the_cache(tmp_path: Path) -> None:
    message = refusal(
        tmp_path, "cache_params: {host: h, port: os.environ/REDIS_PORT}", REDIS_PORT="tcp://10.0.0.1:6379"
    )

    assert "enableServiceLinks: false" in message


@pytest.mark.parametrize(
    ("general", "value", "told"),
    [
        ("redis_host: os.environ/H", "redis:6379", "write redis here, and redis_port: 6379"),
        ("redis_host: os.environ/H", "[fd00::1]:6379", "write fd00::1 here, and redis_port: 6379"),
        ("redis_host: os.environ/H", "tcp://10.0.0.1:6379", "write 10.0.0.1 here, and redis_port: 6379"),
        (
            "redis_host: os.environ/H",
            "redis://:hush@redis:6379/0",
            "write that as redis_url, in the place of redis_port",
        ),
        ("redis_host: os.environ/H", "rediss://redis", "write that as redis_url"),
        ("cache_params: {host: os.environ/H}", "redis:6379", "write redis here, and port: 6379"),
        ("bind_address: os.environ/H", "127.0.0.1:4001", "write 127.0.0.1 here, and bind_port: 4001"),
        ("bind_address: os.environ/H", "http://127.0.0.1", "leave out the scheme"),
    ],
)
def test_a_host_with_more_than_a_host_is_told_where_the_rest_belongs(
    tmp_path: Path, general: str, value: str, told: str
) -> None:
    message = refusal(tmp_path, general, H=value)

    assert told in message
    assert "hush" not in message


@pytest.mark.parametrize("name", ["'*'", "'*.example.com'", "'*:8080'"])
def test_a_wildcard_among_allowed_hosts_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, f"allowed_hosts: [{name}]")

    assert (
        "wildcards are not taken; valid: a host name or IP address, with or without :port; fix: write each name"
        in message
    )


def test_a_url_among_allowed_hosts_is_refused_with_what_to_do(tmp_path: Path) -> None:
    assert "leave out the scheme" in refusal(tmp_path, "allowed_hosts: ['https://proxy.internal']")


@pytest.mark.parametrize(
    ("groups", "path"),
    [
        ("[{model_group: '*', models: [{model: m, params: {api_key: k}}]}]", "model_groups[0].model_group"),
        ("[{model_group: 'gpt-*', models: [{model: m, params: {api_key: k}}]}]", "model_groups[0].model_group"),
        ("[{model_group: g, models: [{model: 'openai/*', params: {api_key: k}}]}]", "model_groups[0].models[0].model"),
    ],
)
def test_a_wildcard_in_a_name_is_warned_about(tmp_path: Path, groups: str, path: str) -> None:
    (warning,) = load(tmp_path, "", f"model_groups: {groups}").warnings

    assert f"{path}: wildcards are not routes here" in warning


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "https://r.openai.azure.com/openai/v1"])
@pytest.mark.parametrize("prefix", ["openai", "azure"])
def test_litellms_prefix_of_a_model_is_warned_about_where_no_provider_knows_it(
    tmp_path: Path, url: str, prefix: str
) -> None:
    models = f"[{{model: {prefix}/gpt-4o, params: {{api_key: k, base_url: '{url}'}}}}]"
    (warning,) = load(tmp_path, "", f"model_groups: [{{model_group: g, models: {models}}}]").warnings

    assert "model_groups[0].models[0].model: is sent as it stands; the provider knows it as gpt-4o" in warning


def test_elsewhere_such_a_name_is_a_name(tmp_path: Path) -> None:
    models = "[{model: openai/gpt-4o, params: {api_key: k, base_url: 'https://openrouter.ai/api/v1'}}]"

    assert load(tmp_path, "", f"model_groups: [{{model_group: g, models: {models}}}]").warnings == ()


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("htps://my-company-gateway-production-0123456789.example.com/v1", None),
        ("my-company-gateway.example.com/openai/v1", None),
        ("gateway.example.com:8443/api/projects/production1/openai", None),
        ("ftp://h.example/models", None),
        ("https://user:hush@h.example/v1", "https://...@h.example/v1"),
        ("https://hush@h.example/v1", "https://...@h.example/v1"),
        ("https://user:hu/sh@h.example/v1", "https://...@h.example/v1"),
        ("https://user:hu?sh@h.example/v1", "https://..."),
        ("https://h.example/v1?key=hush", "https://h.example/v1?..."),
        ("https://h.example/v1#hush", "https://h.example/v1#..."),
        ("https://h.example/bot/sk-hush-1/x", "https://h.example/bot/.../x"),
        ("https://h.example/T0HUSH0HUSH0HUSH0HUSH0/x", "https://h.example/.../x"),
        ("https://a..b/v1", None),
        ("https://h.example:0/v1", None),
    ],
)
def test_a_url_is_shown_without_what_could_be_secret_in_it(url: str, part: str | None) -> None:
    assert shown(url) == f'"{part or url}"'


@pytest.mark.parametrize(
    "text",
    [
        "sk-hush-0123456789abcdef", "https://sk-hush-0123456789abcdef/v1", "sk-hush.example.com", "hush",
        "https://0123456789abcdefhush0123/v1", "0123456789abcdefhush0123.abc/x", "eyJhbGci.eyJodXNo.c2ln",
    ],
)  # fmt: skip
def test_a_key_is_no_url(text: str) -> None:
    assert shown_url(text) is None


def test_a_mistyped_base_url_is_shown_wherever_it_comes_from(tmp_path: Path) -> None:
    groups = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k, base_url: os.environ/U}}]}]"
    url = "htps://gateway-of-the-company-1.example.com/v1"

    assert f'base_url: got "{url}"; it does not begin with' in refusal(
        tmp_path, "", groups.replace("os.environ/U", url)
    )
    assert f'base_url: got the value of the environment variable U, "{url}"; it does' in refusal(
        tmp_path, "", groups, U=url
    )


def test_a_key_in_the_place_of_a_url_is_not(tmp_path: Path) -> None:
    groups = "model_groups: [{model_group: g, models: [{model: m, params: {api_key: k, base_url: os.environ/U}}]}]"
    key = "sk-canary-0123456789abcdef"

    assert key not in refusal(tmp_path, "", groups.replace("os.environ/U", key))
    assert key not in refusal(tmp_path, "", groups, U=key)
