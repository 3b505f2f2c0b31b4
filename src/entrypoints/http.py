"""`llmproxy serve`, and `python -m entrypoints.http`: the proxy."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.config.load import ConfigError, load_settings
from entrypoints.config.reading.mistakes import Report
from entrypoints.processes.surroundings import (
    meaningless_signals_ignored,
    open_standard_streams,
    say,
    terminal_may_hang_up,
)
from entrypoints.reload.source import Source

if TYPE_CHECKING:
    from entrypoints.processes.events import Events
    from entrypoints.reload.control import Control

CONFIG_VARIABLE = "LLMPROXY_CONFIG"
DEFAULT_CONFIG = Path("llmproxy.yaml")

_NO_CONFIG = f"""\
llmproxy: no configuration. Say where it is in one of three ways:
  --config FILE
  {CONFIG_VARIABLE}=FILE in the environment
  a file ./{DEFAULT_CONFIG} in the working directory
or try --demo, which needs none."""

_DEMO_IS_FIXED = "the demo has no configuration file that could be read anew; to have one: llmproxy serve --config FILE"


def main(arguments: Sequence[str] | None = None, prog: str = "python -m entrypoints.http") -> int:
    """The exit code is 0 after a shutdown, 2 for a mistake of the caller's, 1 for what may work later."""
    open_standard_streams()
    options = _parse(arguments, prog)
    with ExitStack() as stack:
        stack.enter_context(meaningless_signals_ignored())
        path = None if options.demo else _find_config(options.config)
        if path is None:
            if not options.demo and not options.or_demo:
                print(_NO_CONFIG, file=sys.stderr)
                return 2
            from entrypoints.demo import demo_config

            options.demo = True
            path = stack.enter_context(demo_config())
        return _serve(path, options)


def _serve(path: Path, options: argparse.Namespace) -> int:
    flags = (("bind_address", options.host), ("bind_port", options.port))
    source = Source(
        path,
        partial(load_settings, path, os.environ, {name: value for name, value in flags if value is not None}),
        _DEMO_IS_FIXED if options.demo else "",
    )
    report = Report(path)
    try:
        settings = source.read(report)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    from entrypoints.banner import announce
    from entrypoints.processes.events import Events
    from entrypoints.processes.listen import serve, worker_count
    from entrypoints.processes.tcp_port import CannotListen, bind
    from entrypoints.reload.reloader import Reloader

    general = settings.general
    workers = worker_count(general)
    events = Events(general.log_level, general.log_format)
    events.starting(path, workers, settings.warnings)
    try:
        listening = bind(general.bind_address, general.bind_port, workers)
    except CannotListen as error:
        events.cannot_listen(str(error))
        return 1 if error.may_pass else 2
    for address in listening.absent:
        events.address_absent(general.bind_address, address)
    on_ready = partial(announce, settings, listening.addresses, events, say, demo=options.demo)
    reloader = Reloader(source, settings, report.files, events, _control(general.bind_port, path, events))
    return serve(listening, reloader, events, on_ready, hangup_reloads=not terminal_may_hang_up())


def _control(port: int, config: Path, events: "Events") -> "Control | None":
    from entrypoints.reload.control import Control

    try:
        return Control(port, config)
    except OSError as error:
        events.not_controllable(os.strerror(error.errno or 0))
        return None


def _find_config(named: Path | None) -> Path | None:
    if named is not None:
        return named
    from_environment = os.environ.get(CONFIG_VARIABLE)
    if from_environment:
        return Path(from_environment)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def _parse(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description="LLMProxy: one OpenAI API in front of many endpoints.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the YAML configuration")
    parser.add_argument("--host", metavar="H", help="listen on this address instead of bind_address")
    parser.add_argument("--port", type=_port, metavar="N", help="listen on this port instead of bind_port")
    parser.add_argument("--demo", action="store_true", help="serve three simulated providers; needs no configuration")
    parser.add_argument("--or-demo", action="store_true", help="the demo where there is no configuration")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port; valid: 1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
