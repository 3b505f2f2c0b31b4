"""Reads the configuration file: `load_settings` gives valid `Settings`, or every mistake at once."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from entrypoints.config.advice import warn_about_groups
from entrypoints.config.certificates import check_environment_certificates
from entrypoints.config.endpoints_section import settle_groups
from entrypoints.config.general_section import check_general, warn_about_general
from entrypoints.config.prices_section import warn_about_prices
from entrypoints.config.proxies import check_environment_proxies
from entrypoints.config.reading.document import read_document
from entrypoints.config.reading.mistakes import ConfigError, Report
from entrypoints.config.reading.reader import Reader
from entrypoints.config.settings import ConfigFile, EndpointSettings, GeneralSettings, GroupSettings, Settings
from entrypoints.config.settings_cache import CacheParams
from entrypoints.config.settings_params import ParamsSettings
from entrypoints.config.settings_price import PriceSettings
from entrypoints.config.shared_buckets import check_shared_buckets
from entrypoints.config.telemetry import telemetry_of

__all__ = ["ConfigError", "load_settings"]

_NONE: Mapping[str, Any] = MappingProxyType({})
_SECTIONS = (GeneralSettings, CacheParams, EndpointSettings, ParamsSettings, PriceSettings, GroupSettings, ConfigFile)


def load_settings(
    path: Path, environ: Mapping[str, str], overrides: Mapping[str, Any] = _NONE, report: Report | None = None
) -> Settings:
    """The settings in the YAML file at `path`, with `os.environ/NAME` looked up in `environ`.

    `overrides` take the place of general settings of these names; what the settings demand of each other holds for
    them as well, so that no flag opens the proxy to the network by the way.
    Raises `ConfigError`, whose `str()` tells all mistakes at once, one a line, without secrets. What
    is only doubtful is in `Settings.warnings`. `report` takes all that is found, for a caller that wants more than
    the sentences; None = nobody does.
    """
    report = Report(path) if report is None else report
    document = read_document(path, report)
    file = Reader(report, environ, _SECTIONS).section(document, ConfigFile, "")
    general = replace(file.general_settings, **overrides)
    groups = settle_groups(file.model_groups, general, report)
    check_shared_buckets(groups, report)
    check_general(general, groups, report)
    report.raise_if_any()

    if general.ca_bundle is not None:
        report.files.append(path.parent / general.ca_bundle)
        general = replace(general, ca_bundle=path.parent / general.ca_bundle)
    check_environment_proxies(groups, general, environ, report)
    check_environment_certificates(groups, general, environ, report)
    report.raise_if_any()
    warn_about_groups(groups, general, report)
    warn_about_prices(groups, report)
    warn_about_general(general, report)
    telemetry = telemetry_of(environ, report)
    return Settings(general, groups, tuple(map(str, report.warnings)), path, telemetry)
