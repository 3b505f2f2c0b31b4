"""What docker-compose.yml, the Dockerfile, deploy/ and docs/deploy.md say of each other and of the proxy is true."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.http.server import connection
from adapters.stores.redis.settings import RedisSettings
from bench import python_build
from deploy import only_python
from domain.secret import Secret
from entrypoints import http, provider
from entrypoints.cli.command import COMMANDS
from entrypoints.config.load import load_settings
from entrypoints.config.settings import GeneralSettings, Settings
from entrypoints.processes import supervisor
from simulator.__main__ import parse_arguments

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NGINX = (ROOT / "deploy/nginx.conf").read_text()
UNIT = (ROOT / "deploy/llmproxy.service").read_text()
GUIDE = (ROOT / "docs/deploy.md").read_text()
PROXIES = ("proxy", "proxy-2")
CONFIGS = ("llmproxy.yaml", "demo.yaml")


def default_of(text: str) -> str:
    """What Compose puts in the place of ${NAME:-default} when no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def environment_of(service: str) -> dict[str, str]:
    given: Mapping[str, str | None] = SERVICES[service]["environment"]
    return {name: default_of(value) if value else "sk-from-outside" for name, value in given.items()}


def settings_of(config: str) -> Settings:
    flags = {"bind_address": image_flag("--host"), "bind_port": int(image_flag("--port"))}
    return load_settings(ROOT / "deploy" / config, environment_of("proxy"), flags)


def image_flag(name: str) -> str:
    command = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert command is not None
    words = yaml.safe_load(command[1])
    return str(words[words.index(name) + 1])


def directive(name: str) -> str:
    found = re.findall(rf"^\s*{name}\s+([^;]+);", NGINX, re.MULTILINE)
    assert len(found) == 1, f"{name} stands {len(found)} times in nginx.conf"
    return str(found[0])


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("config", CONFIGS)
def test_what_compose_mounts_is_a_valid_configuration_with_the_environment_and_the_address_it_gets(config: str) -> None:
    settings = settings_of(config)

    assert settings.warnings == ()
    assert settings.general.bind_address == "0.0.0.0"


@pytest.mark.parametrize("config", CONFIGS)
def test_each_configuration_points_at_the_redis_of_the_compose_file(config: str) -> None:
    url = settings_of(config).general.redis_url

    assert url is not None
    assert RedisSettings.of_url(url).nodes == (("redis", 6379),)
    assert "redis" in SERVICES


def test_every_file_that_is_mounted_or_copied_exists() -> None:
    mounted = [default_of(volume).split(":")[0] for each in SERVICES.values() for volume in each.get("volumes", ())]
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    demo = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / "deploy/demo.env").read_text(), re.MULTILINE))

    assert len(mounted) == 3 and len(copied) == 4
    assert [path for path in (*mounted, *copied, demo["LLMPROXY_FILE"]) if not (ROOT / path).exists()] == []


def test_the_build_is_sent_what_the_dockerfile_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)

    assert "*" in ignored
    assert [path for path in copied if f"!{path}" not in ignored] == []


def test_the_mounted_configuration_is_the_one_that_the_image_reads() -> None:
    where = re.search(rf"{http.CONFIG_VARIABLE}=(\S+)", DOCKERFILE)

    assert where is not None
    for name in PROXIES:
        assert SERVICES[name]["volumes"][0].endswith(f":{where[1]}:ro")


def test_port_is_the_same_in_the_image_its_healthcheck_the_compose_file_and_nginx() -> None:
    port = image_flag("--port")

    assert f"EXPOSE {port}\n" in DOCKERFILE
    assert f"http://127.0.0.1:{port}/health/live" in DOCKERFILE
    assert SERVICES["proxy"]["ports"][0].endswith(f":{port}")
    assert set(re.findall(r"server (\S+:\d+) ", NGINX)) == {f"{name}:{port}" for name in PROXIES}
    assert SERVICES["nginx"]["ports"][0].endswith(f":{directive('listen')}")


def test_nothing_is_published_to_other_machines_and_no_two_services_take_one_port() -> None:
    published = [default_of(port) for each in SERVICES.values() for port in each.get("ports", ())]

    assert sorted(published) == ["127.0.0.1:4000:4000", "127.0.0.1:4001:8080"]
    assert "ports" not in SERVICES["redis"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" in service or service["image"] == "llmproxy:local"


def test_image_runs_as_the_user_the_guide_names_and_not_as_root() -> None:
    user = re.search(r"^USER (\d+):", DOCKERFILE, re.MULTILINE)

    assert user is not None
    assert f"uid {user[1]}" in GUIDE and f"runAsUser: {user[1]}" in GUIDE


def directives(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_unit_of_systemd_starts_what_there_is_and_gives_requests_time_to_end() -> None:
    for command in (*directives("ExecStart"), *directives("ExecReload")):
        python, m, package, *arguments = command.split()

        assert (python, m, package) == ("/opt/llmproxy/.venv/bin/python", "-m", "llmproxy")
        assert arguments[0] in COMMANDS
    assert int(directives("TimeoutStopSec")[0]) > GeneralSettings().drain_timeout + supervisor._KILL_GRACE_S
    assert directives("RestartPreventExitStatus") == ["2"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_unit_is_valid_to_systemd(tmp_path: Path) -> None:
    unit = tmp_path / "llmproxy.service"
    unit.write_text(UNIT.replace("/opt/llmproxy/.venv/bin/python", sys.executable))

    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)

    assert [line for line in done.stderr.splitlines() if "llmproxy.service" in line] == []


@pytest.mark.parametrize("name", [*PROXIES, "nginx"])
def test_containers_are_given_longer_to_stop_than_requests_are_to_end(name: str) -> None:
    patience_s = settings_of("llmproxy.yaml").general.drain_timeout + supervisor._KILL_GRACE_S

    assert seconds(SERVICES[name]["stop_grace_period"]) > patience_s


def test_nginx_waits_longer_than_the_proxy_and_takes_bodies_as_large() -> None:
    general = settings_of("llmproxy.yaml").general
    size = directive("client_max_body_size")

    assert seconds(directive("proxy_read_timeout")) > max(general.request_timeout, general.stream_idle_timeout)
    assert seconds(directive("keepalive_timeout")) < connection.IDLE_S
    assert size.endswith("m") and int(size[:-1]) << 20 == general.max_body_bytes


def test_nginx_neither_buffers_streams_nor_repeats_requests_that_cost_money() -> None:
    assert directive("proxy_buffering") == "off"
    assert directive("proxy_next_upstream") == "error timeout"
    assert directive("proxy_set_header Host") == "$http_host"


def test_names_by_which_the_containers_know_the_proxies_are_let_in() -> None:
    assert {*PROXIES, "nginx"} <= set(settings_of("llmproxy.yaml").general.allowed_hosts)


def test_simulated_providers_listen_where_the_demo_looks_for_them() -> None:
    models = settings_of("demo.yaml").groups[0].models
    entrypoints = [SERVICES[name]["entrypoint"] for name in ("provider-1", "provider-2")]
    served = [parse_arguments(words[3:])[0] for words in entrypoints]

    assert all(words[:3] == ["python", "-m", provider.__name__] for words in entrypoints)
    assert [model.params.base_url for model in models] == [f"http://{each.host}:{each.port}/v1" for each in served]


def test_every_variable_of_the_compose_file_is_explained() -> None:
    used = set(re.findall(r"\$\{(\w+):-", (ROOT / "docker-compose.yml").read_text()))

    assert len(used) > 5
    assert [name for name in sorted(used) if f"`{name}`" not in GUIDE] == []


def test_guide_names_only_files_and_settings_that_exist() -> None:
    named = set(re.findall(r"`((?:deploy/)?[\w-]+\.(?:yaml|env|conf|yml)|Dockerfile)`", GUIDE))

    assert {"deploy/nginx.conf", "docker-compose.yml", "Dockerfile"} <= named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_redis_urls_of_the_guide_are_valid() -> None:
    urls = re.findall(r"`((?:rediss?(?:\+\w+)?|unix)://[^`.][^`]*)`", GUIDE)

    assert {RedisSettings.of_url(Secret(url)).kind for url in urls} == {"single", "sentinel", "cluster"}


def test_base_image_of_the_dockerfile_and_of_the_compose_file_are_one() -> None:
    base = re.search(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)

    assert base is not None
    assert default_of(COMPOSE["x-image"]["build"]["args"]["BASE"]) == base[1]


def test_an_image_is_made_of_an_optimised_python_alone() -> None:
    (check,) = re.findall(r'^RUN python -c "(.*)"$', DOCKERFILE, re.MULTILINE)

    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)

    assert (done.returncode == 0) is python_build.is_optimised()
    assert python_build.is_optimised() or "choose another BASE" in done.stderr


def test_image_is_left_with_no_program_but_python(tmp_path: Path) -> None:
    stays = [
        "usr/bin/python3.11",
        "usr/bin/python3",
        "usr/lib/libc.so.6",
        "usr/lib/python3.11/os.py",
        "var/lib/dpkg/status",
    ]
    goes = ["usr/bin/sh", "usr/bin/apt-get", "usr/bin/env", "usr/local/bin/pip", "usr/sbin/chroot", "usr/libexec/x"]
    installers = ["usr/lib/python3.11/pip/__init__.py", "usr/lib/python3.11/ensurepip/__init__.py"]
    for path in (*stays, *goes, *installers):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "bin").symlink_to("usr/bin")

    for path in only_python.needless(tmp_path, [tmp_path / "usr/lib/python3.11"]):
        only_python.remove(path)

    assert {path for path in (*stays, *goes, *installers) if (tmp_path / path).exists()} == set(stays)


def test_image_ends_without_its_builder_and_what_it_is_stripped_by() -> None:
    last_build, final = DOCKERFILE.split("\nFROM scratch\n")

    assert last_build.rstrip().endswith('RUN ["python", "/build/only_python.py"]')
    assert re.findall(r"^(?:COPY|ADD|RUN) .*$", final, re.MULTILINE) == ["COPY --from=build / /"]
    assert re.findall(r"^ *(?:CMD|ENTRYPOINT) (?!\[).*$", final, re.MULTILINE) == [], "there is no shell for these"
