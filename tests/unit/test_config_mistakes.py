"""Every wrong setting is told with file, line, column, path and what is valid, and never with a secret."""

import re
from pathlib import Path

import pytest

from entrypoints.config import endpoints_section
from entrypoints.config.load import ConfigError, load_settings

CANARY = "canary-hunter2"  # looks like no key, so only knowing what is secret can hide it


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    message = str(caught.value)
    assert all(line.startswith(f"{path}:") for line in message.splitlines())
    assert CANARY not in message
    lines = text.splitlines()
    for mistake in caught.value.mistakes:
        assert mistake.line is not None
        assert mistake.column is not None
        assert 1 <= mistake.column <= len(lines[mistake.line - 1]) + 1
    return message


def is_told(message: str, path: str, line: int = 1) -> bool:
    return re.search(rf":{line}:[0-9]+: {re.escape(path)}: ", message) is not None


@pytest.mark.parametrize(
    ("general", "path", "valid"),
    [
        ("bind_adress: x", "bind_adress", "fix: write bind_address"),
        ("zzz: x", "zzz", "valid: bind_address, bind_port,"),
        ("model_group: x", "model_group", "fix: move it into a group"),
        ("bind_port: 0", "bind_port", "got 0; valid: a whole number from 1 to 65535"),
        ("bind_port: 70000", "bind_port", "got 70000; valid: a whole number from 1 to 65535"),
        ("bind_port: 80.5", "bind_port", "valid: a whole number"),
        ("bind_port: true", "bind_port", "got true; valid: a whole number"),
        (
            "bind_port: '4000'",
            "bind_port",
            'got "4000"; valid: a whole number from 1 to 65535; fix: write 4000',
        ),
        ("bind_port: 0o17", "bind_port", "valid: a whole number"),
        ("bind_port: [4000]", "bind_port", "got a list; valid: a whole number"),
        ("bind_port: {a: 1}", "bind_port", "got a mapping; valid: a whole number"),
        ("bind_port:", "bind_port", "got nothing; valid: a whole number"),
        ("bind_address: 'a b'", "bind_address", "valid: an IP address or a host name"),
        ("bind_address: 0.0.0.0", "bind_address", "valid: a loopback address such as 127.0.0.1, or api_keys"),
        ("bind_address: '::'", "bind_address", "valid: a loopback address such as 127.0.0.1, or api_keys"),
        ("bind_address: 192.168.1.5", "bind_address", "or allow_unauthenticated: true"),
        ("{bind_address: 0.0.0.0, allow_unauthenticated: false}", "bind_address", "valid: a loopback address"),
        ("num_retries: -1", "num_retries", "valid: a whole number from 0 to 20"),
        ("num_retries: 21", "num_retries", "valid: a whole number from 0 to 20"),
        ("allowed_fails: 0", "allowed_fails", "valid: a whole number from 1 to"),
        ("cooldown_time: 0", "cooldown_time", "valid: a number of seconds above 0 up to 86400"),
        ("cooldown_time: -5", "cooldown_time", "valid: a number of seconds above 0 up to 86400"),
        ("cooldown_time: .inf", "cooldown_time", "got .inf; valid: a number of seconds above 0 up to 86400"),
        ("cooldown_time: .nan", "cooldown_time", "got .nan; valid: a number of seconds above 0 up to 86400"),
        (
            "cooldown_time: 60s",
            "cooldown_time",
            "seconds above 0 up to 86400; fix: write 60 without a unit",
        ),
        ("cooldown_time: 60000000", "cooldown_time", "valid: a number of seconds above 0 up to 86400"),
        ("cooldown_time: 1e999", "cooldown_time", "valid: a number of seconds above 0 up to 86400"),
        ("max_wait: -1", "max_wait", "valid: a number of seconds from 0 up to 86400"),
        ("rate_limit_reserve: 1", "rate_limit_reserve", "valid: a number from 0 below 1"),
        ("cache: 'true'", "cache", "valid: true or false; fix: write true without quotes"),
        ("cache: 1", "cache", "got 1; valid: true or false; fix: write true without quotes"),
        ("cache_params: [redis]", "cache_params", "got a list; valid: a mapping of cache settings"),
        ("cache_params: {ttl: 0}", "cache_params.ttl", "valid: a number of seconds above 0 up to 315360000"),
        ("cache_params: {typ: redis}", "cache_params.typ", "fix: write type"),
        ("cache_params: {type: disk}", "cache_params.type", 'got "disk"; valid: redis or memory'),
        ("{cache: true, cache_params: {type: redis}}", "cache_params.type", "valid: memory, or redis with redis_host"),
        ("redis_host: 'redis://r'", "redis_host", "without redis:// and port"),
        ("redis_port: 0", "redis_port", "valid: a whole number from 1 to 65535"),
        ("{redis_url: 'redis://r', redis_host: r, redis_timeout: 1}", "redis_url", "excludes redis_host; valid"),
        ("redis_timeout: 11", "redis_timeout", "valid: a number of seconds above 0 up to 10"),
        ("api_keys: []", "api_keys", "got an empty list; valid: a list of at least one key"),
        ("allowed_hosts: ['*']", "allowed_hosts[0]", "valid: a host name or IP address"),
        ("allowed_hosts: ['a.example/x']", "allowed_hosts[0]", "valid: a host name or IP address"),
        ("allowed_origins: [null]", "allowed_origins[0]", "got nothing; valid: http:// or https://"),
        ("allowed_origins: [null]", "allowed_origins[0]", '"null" in quotes'),
        ("allowed_origins: [a.example]", "allowed_origins[0]", "it does not begin with a scheme such as https://"),
        ("allowed_origins: ['https://*']", "allowed_origins[0]", "fix: name the hosts"),
        ("allowed_origins: [app://a, '*']", "allowed_origins[1]", "valid: origins by name, or api_keys"),
        ("allowed_origins: ['https://a.example/']", "allowed_origins[0]", "nothing after"),
        ("max_body_bytes: 32M", "max_body_bytes", "fix: write one of the units B, kB, KB, MB, GB, KiB, MiB, GiB"),
        ("max_body_bytes: 1B", "max_body_bytes", "whole number of bytes from 1024 to 1073741824"),
        ("max_body_bytes: 900GiB", "max_body_bytes", "whole number of bytes from 1024 to 1073741824"),
        (
            "max_held_bytes: 1MiB",
            "max_held_bytes",
            "valid: max_held_bytes of at least max_body_bytes, or 0 for no bound",
        ),
        ("max_held_bytes: 1", "max_held_bytes", "may have 33554432 bytes (max_body_bytes), all together 1 (max_held"),
        ("max_body_bytes: 1GiB", "max_body_bytes", "valid: max_held_bytes of at least max_body_bytes, or 0 for no"),
        ("{max_body_bytes: 2MiB, max_held_bytes: 1MiB}", "max_held_bytes", "may have 2097152 bytes (max_body_bytes)"),
        ("max_held_bytes: -1", "max_held_bytes", "whole number of bytes from 0 to 1099511627776"),
        ("max_connections: 0", "max_connections", "valid: a whole number from 1 to 100000"),
        ("workers: 0", "workers", "valid: a whole number from 1 to 256, or auto"),
        ("workers: many", "workers", 'got "many"; valid: a whole number from 1 to 256, or auto'),
        ("upstream_client: curl", "upstream_client", 'got "curl"; valid: http1 or httpx'),
        ("ca_bundle: nowhere.pem", "ca_bundle", "there is no such file; valid: the path of a PEM file"),
        (f"ca_bundle: {'x' * 300}.pem", "ca_bundle", "there is no such file; valid: the path of a PEM file"),
        ("ca_bundle: llmproxy.yaml", "ca_bundle", "no readable certificate; valid: the path of a PEM file"),
        ("log_level: loud", "log_level", 'got "loud"; valid: debug or info or warning or error'),
        ("log_format: xml", "log_format", 'got "xml"; valid: text or json'),
        ("passthrough_group: other", "passthrough_group", 'names no group; valid: "g"'),
        ("trust_env: maybe", "trust_env", "valid: true or false"),
    ],
)
def test_a_wrong_general_setting_is_told(tmp_path: Path, general: str, path: str, valid: str) -> None:
    general = general if general.startswith("{") else f"{{{general} }}"
    message = refusal(
        tmp_path, f"general_settings: {general}\nmodel_groups: [{{model_group: g, models: [{{model: m}}]}}]\n"
    )

    assert is_told(message, f"general_settings.{path}")
    assert valid in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("model", "path", "valid"),
    [
        ("weight: 1", "model", "without a space at its ends; fix: write model: ... here"),
        ("model: ''", "model", "got an empty text; valid: a name"),
        ("model: 4", "model", 'fix: write it in quotes: "4"'),
        ('model: "a\\r\\nb"', "model", 'got "a\\r\\nb"; valid: a name'),
        ("{model: m, weight: -1}", "weight", "valid: a whole number from 0"),
        ("{model: m, weight: 0.7}", "weight", "use whole numbers, e.g. 7 and 3 instead of 0.7 and 0.3"),
        ("{model: m, weight: true}", "weight", "got true; valid: a whole number"),
        ("{model: m, weight: .nan}", "weight", "valid: a whole number from 0"),
        ("{model: m, id: 'g/1'}", "id", "valid: 1 to 64 letters, digits, . _ or -"),
        ("{model: m, wieght: 1}", "wieght", "fix: write weight"),
        (f"{{model: m, api_key: {CANARY}}}", "api_key", "fix: move it into params"),
        ("{model: m, rpm: 0}", "rpm", "valid: a whole number from 1"),
        ("{model: m, tpm: lots}", "tpm", "valid: a whole number from 1"),
        ("{model: m, request_timeout: 0}", "request_timeout", "valid: a number of seconds above 0"),
        ("{model: m, params: }", "params", "got nothing; valid: a mapping of OpenAI client arguments"),
        ("{model: m, params: [api_key]}", "params", "got a list; valid: a mapping of OpenAI client arguments"),
    ],
)
def test_a_wrong_model_is_told(tmp_path: Path, model: str, path: str, valid: str) -> None:
    model = model if model.startswith("{") else f"{{{model} }}"
    message = refusal(tmp_path, f"model_groups: [{{model_group: g, models: [{model}]}}]\n")

    assert is_told(message, f"model_groups[0].models[0].{path}")
    assert valid in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("params", "path", "valid"),
    [
        ("api_key: ''", "api_key", "got an empty text; valid: a text of printable ASCII"),
        ("api_key:", "api_key", "got nothing; valid: a text of printable ASCII"),
        (f'api_key: "{CANARY}\\n"', "api_key", "got a value that is not shown; valid: a text of printable ASCII"),
        (f"api_key: [{CANARY}]", "api_key", "got a list; valid: a text"),
        ("api_key: 123456", "api_key", "fix: write it in quotes"),
        (f"api_kye: {CANARY}", "api_kye", "fix: write api_key"),
        (
            f"{{api_key: a, azure_ad_token: {CANARY}, base_url: 'https://h.example'}}",
            "azure_ad_token",
            "excludes api_key",
        ),
        (f"{{azure_ad_token: {CANARY}}}", "azure_ad_token", "valid: with azure_endpoint"),
        ("{api_version: preview}", "api_version", "valid: with azure_endpoint"),
        ("azure_deployment: d", "azure_deployment", "is missing its azure_endpoint; valid: both, or neither"),
        ("{azure_endpoint: 'https://r.openai.azure.com'}", "azure_endpoint", "needs api_version beside it"),
        (
            "{azure_endpoint: 'https://r.example', api_version: v, base_url: 'https://h.example'}",
            "azure_endpoint",
            "excludes base_url; valid: only one of the two",
        ),
        ("{data_residency: eu, base_url: 'https://h.example'}", "data_residency", "excludes base_url"),
        ("{data_residency: eu, azure_endpoint: 'https://r.example', api_version: v}", "data_residency", "excludes"),
        ("data_residency: mars", "data_residency", "valid: us or eu or ae or au or in or jp or global"),
        (
            "{base_url: 'https://r.example', api_version: a, default_query: {api-version: b}}",
            "api_version",
            "differs from default_query's api-version; valid: one of them",
        ),
        (f"{{default_headers: {{Host: {CANARY}}}}}", "default_headers.Host", "valid: a mapping of HTTP header names"),
        (f"{{default_headers: {{Content-Length: '{CANARY}'}}}}", "default_headers.Content-Length", "valid:"),
        ("{default_headers: {Transfer-Encoding: chunked}}", "default_headers.Transfer-Encoding", "valid:"),
        ("{default_headers: {Connection: close}}", "default_headers.Connection", "valid:"),
        (f"{{default_headers: {{'a b': {CANARY}}}}}", "default_headers.<...>", "valid: a mapping of HTTP header names"),
        (
            f'{{default_headers: {{X-A: "{CANARY}\\r\\nX-B: 1"}}}}',
            "default_headers.X-A",
            "got a value that is not shown; valid: a text of printable ASCII characters",
        ),
        (f'{{default_headers: {{X-A: "{CANARY}\\0"}}}}', "default_headers.X-A", "valid: a text of printable ASCII"),
        (f"{{default_headers: {{X-A: one, x-a: {CANARY}}}}}", "default_headers.x-a", "stands twice, in different case"),
        (f"{{default_headers: [{CANARY}]}}", "default_headers", "got a list; valid: a mapping"),
        (f"{{default_query: {{a: [{CANARY}]}}}}", "default_query.a", "got a list; valid: a text, a number"),
        ("{default_query: {a: }}", "default_query.a", "got nothing; valid: a text, a number"),
        ("timeout: 0", "timeout", "valid: a number of seconds above 0 up to 86400, or a mapping of connect"),
        ("{timeout: {connect: -1}}", "timeout.connect", "valid: a number of seconds above 0"),
        ("{timeout: {total: 1}}", "timeout.total", "valid: connect, read, write, pool"),
        ("max_retries: -1", "max_retries", "valid: a whole number from 0"),
        (f"admin_api_key: {CANARY}", "admin_api_key", "administration routes are not proxied; fix: write api_key"),
        (f"workload_identity: {CANARY}", "workload_identity", "fix: write api_key, azure_ad_token, or"),
        ("{azure_ad_token_provider: f, base_url: 'https://h.example'}", "azure_ad_token_provider", "valid: default"),
        (
            f"{{api_key: {CANARY}, azure_ad_token_provider: default, base_url: 'https://h.example'}}",
            "azure_ad_token_provider",
            "excludes api_key; valid: only one of the two",
        ),
        (
            f"{{azure_ad_token: {CANARY}, azure_ad_token_provider: default, base_url: 'https://h.example'}}",
            "azure_ad_token_provider",
            "excludes azure_ad_token; valid: only one of the two",
        ),
        (
            "{azure_ad_token_provider: default, base_url: 'https://h.example', "
            f"default_headers: {{api-key: {CANARY}}}}}",
            "azure_ad_token_provider",
            "excludes a credential among default_headers",
        ),
        ("{azure_ad_token_provider: default}", "azure_ad_token_provider", "valid: with azure_endpoint"),
        (
            "{azure_ad_scope: 'https://a/.default', base_url: 'https://h.example'}",
            "azure_ad_scope",
            "is missing its azure_ad_token_provider",
        ),
        (
            "{azure_ad_scope: 'https://a', azure_ad_token_provider: default, base_url: 'https://h.example'}",
            "azure_ad_scope",
            "valid: a scope that ends in /.default",
        ),
        ("provider: x", "provider", "fix: write base_url and api_key"),
        (f"webhook_secret: {CANARY}", "webhook_secret", "fix: leave it out"),
        ("websocket_base_url: 'wss://h'", "websocket_base_url", "speaks HTTP, not WebSocket; fix: write base_url"),
        ("http_client: x", "http_client", "fix: write outbound_proxy, ca_bundle or the timeouts in general_settings"),
        ("_strict_response_validation: true", "_strict_response_validation", "fix: leave it out"),
        ("organization: ''", "organization", "valid: a name of 1 to 200"),
    ],
)
def test_wrong_params_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: str, path: str, valid: str
) -> None:
    monkeypatch.setattr(endpoints_section, "has_azure_identity", lambda: True)
    params = params if params.startswith("{") else f"{{{params} }}"
    message = refusal(tmp_path, f"model_groups: [{{model_group: g, models: [{{model: m, params: {params}}}]}}]\n")

    assert is_told(message, f"model_groups[0].models[0].params.{path}")
    assert valid in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "path", "valid"),
    [
        ("general_settings: {}", "model_groups", "is missing; valid: a list of at least one model_group"),
        ("model_groups: []", "model_groups", "got an empty list; valid: a list of at least one model_group"),
        ("model_groups:", "model_groups", "got nothing; valid: a list of at least one model_group"),
        ("model_groups: {a: 1}", "model_groups", "got a mapping; valid: a list of at least one model_group"),
        ("model_groups: [a]", "model_groups[0]", "got a single value; valid: a mapping with model_group and models"),
        ("model_groups: [{models: [{model: m}]}]", "model_groups[0].model_group", "is missing; valid: a name"),
        ("model_groups: [{model_group: g}]", "model_groups[0].models", "is missing; valid: a list"),
        (
            "model_groups: [{model_group: g, models: []}]",
            "model_groups[0].models",
            "valid: a list of at least one model",
        ),
        (
            "model_groups: [{model_group: g, models: [{model: m}], fallback: [h]}]",
            "model_groups[0].fallback",
            "valid: model_group, models",
        ),
        (
            "model_groups: [{model_group: g, models: [{model: m}]}, {model_group: g, models: [{model: m}]}]",
            "model_groups[1].model_group",
            "is the same as in model_groups[0]; valid: every model_group once",
        ),
        (
            "model_groups: [{model_group: g, models: [{model: m, id: a}]}, "
            "{model_group: h, models: [{model: m}, {model: m, id: a}]}]",
            "model_groups[1].models[1].id",
            "is the same as in model_groups[0].models[0]; valid: every id once",
        ),
        ("{general: {}, model_groups: [{model_group: g, models: [{model: m}]}]}", "general", "general_settings"),
        (
            "{general_settings: [], model_groups: [{model_group: g, models: [{model: m}]}]}",
            "general_settings",
            "mapping",
        ),
        (
            "{general_settings: {cache: true, cache_params: {scope: global}}, "
            "model_groups: [{model_group: g, models: [{model: m}]}]}",
            "general_settings.cache_params.scope",
            "valid: credential, or api_key for every model",
        ),
    ],
)
def test_a_wrong_structure_is_told(tmp_path: Path, text: str, path: str, valid: str) -> None:
    message = refusal(tmp_path, text)

    assert is_told(message, path)
    assert valid in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("redis_password", f"[{CANARY}]"),
        ("redis_password", f'"{CANARY}\\0"'),
        ("redis_url", f"'http://:{CANARY}@r'"),
        ("redis_url", f"'redis://:{CANARY}@r:0'"),
        ("redis_url", f"'redis://:{CANARY}@r:port'"),
        ("redis_url", f"'redis://:{CANARY}@r/not-a-number'"),
        ("redis_url", f"'redis://{CANARY} '"),
        ("api_keys", CANARY),
        ("api_keys", f"{{{CANARY}: 1}}"),
        ("api_keys", f"['{CANARY} with spaces']"),
        ("outbound_proxy", f"'socks5://u:{CANARY}@p:1080'"),
        ("outbound_proxy", f"'http://u:{CANARY}@p'"),
        ("outbound_proxy", f"'http://u:{CANARY}@169.254.169.254:80'"),
        ("cache_params", f"{{password: [{CANARY}]}}"),
        ("cache_params", CANARY + "-0123456789abcdef0123"),
    ],
)
def test_a_wrong_secret_is_told_without_its_value(tmp_path: Path, key: str, value: str) -> None:
    message = refusal(
        tmp_path,
        f"general_settings: {{{key}: {value}}}\nmodel_groups: [{{model_group: g, models: [{{model: m}}]}}]\n",
    )

    assert re.search(rf":1:[0-9]+: general_settings\.{key}", message)
    assert "; valid: " in message


def test_ten_mistakes_in_one_file_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        f"""\
general_settings:
  bind_port: 70000
  num_retries: "3"
  cooldown_time: -1
  redis_password: [{CANARY}]
  workres: 2
  log_level: loud
model_groups:
  - model_group: a
    models:
      - model: m
        weight: 0.5
        params:
          api_key: os.environ/NOT_SET
          base_url: ftp://h.example
  - model_group: a
    models: []
""",
    )

    places = [re.sub(r"^.*:([0-9]+:[0-9]+): ([^:]*): .*", r"\1 \2", line) for line in message.splitlines()]
    assert places == [
        "2:14 general_settings.bind_port",
        "3:16 general_settings.num_retries",
        "4:18 general_settings.cooldown_time",
        "5:19 general_settings.redis_password",
        "6:3 general_settings.workres",
        "7:14 general_settings.log_level",
        "12:17 model_groups[0].models[0].weight",
        "14:20 model_groups[0].models[0].params.api_key",
        "15:21 model_groups[0].models[0].params.base_url",
        "16:18 model_groups[1].model_group",
        "17:13 model_groups[1].models",
    ]


def test_a_file_of_thousands_of_mistakes_is_told_shortly(tmp_path: Path) -> None:
    message = refusal(tmp_path, "general_settings:\n" + "".join(f"  key{n}: 1\n" for n in range(3000)))

    assert len(message.splitlines()) == 101
    assert message.endswith("and 2901 more")


@pytest.mark.parametrize(
    ("price", "key", "says"),
    [
        ("{input: 1}", "", "has no output; valid: input and output, both, or per_hour alone; fix: write output too"),
        ("{cached_input: 1}", "", "has no input and no output"),
        ("{per_hour: 36, output: 1}", ".output", "excludes per_hour"),
        ("{input: -1, output: 1}", ".input", "got -1; valid: a number from 0"),
        ("{input: 1, output: 1, prompt: 1}", ".prompt", "valid: input, cached_input, cache_write, output, per_hour"),
        ("2.5", "", "valid: a mapping of input, cached_input"),
    ],
)
def test_a_price_is_by_token_or_by_the_hour(tmp_path: Path, price: str, key: str, says: str) -> None:
    message = refusal(tmp_path, f"model_groups: [{{model_group: g, models: [{{model: m, price: {price}}}]}}]\n")

    assert is_told(message, f"model_groups[0].models[0].price{key}")
    assert says in message


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ("[{model: m}]", "no model of this group has a price by token"),
        ("[{model: m, price: {per_hour: 1}}]", "no model of this group has a price by token"),
        ("[{model: m, price: {input: 1, output: 2}}]", "with a price by token: g/1; fix: write g/1"),
    ],
)
def test_a_baseline_is_a_model_of_the_group_with_a_price_by_token(tmp_path: Path, models: str, says: str) -> None:
    message = refusal(tmp_path, f"model_groups: [{{model_group: g, price_baseline: other, models: {models}}}]\n")

    assert is_told(message, "model_groups[0].price_baseline")
    assert says in message


def test_a_currency_is_three_capital_letters(tmp_path: Path) -> None:
    assert "three capital letters" in refusal(tmp_path, "general_settings: {currency: dollars}\n")
