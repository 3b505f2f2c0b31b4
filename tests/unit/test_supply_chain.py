"""The bill of materials, the licences and the audit say what is locked, and all of it."""

import json
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from release import licences
from release.audit import Package, Vulnerability, lines, verdict
from release.locked import LOCKS, ROOT, locked_packages
from release.sbom import sbom

PACKAGES = locked_packages()


def test_every_package_of_every_lock_is_there_once_with_its_digests() -> None:
    names = {
        line.split("==")[0]
        for lock in LOCKS.values()
        for line in (ROOT / lock).read_text().splitlines()
        if line[:1].isalnum()
    }

    assert [package.name for package in PACKAGES] == sorted(names)
    assert {package.name for package in PACKAGES} >= {"msgspec", "azure-identity", "opentelemetry-sdk"}
    assert all(package.sha256 and package.version for package in PACKAGES)


def test_a_lock_without_a_digest_is_refused(tmp_path: Path) -> None:
    for lock in LOCKS.values():
        (tmp_path / lock).write_text("msgspec==1.0\n")

    with pytest.raises(ValueError, match="make lock"):
        locked_packages(tmp_path)


def test_all_licences_are_known_and_allowed_and_the_page_is_true() -> None:
    found = {package.name: licences.licence_of(package.name) for package in PACKAGES}

    assert [name for name, licence in found.items() if not licences.is_allowed(licence)] == []
    assert licences.PAGE.read_text(encoding="utf-8") == licences.page(found, PACKAGES), "make licences writes it anew"


@pytest.mark.parametrize(
    ("licence", "is_allowed"),
    [("MIT", True), ("GPL-3.0", False), ("", False), ("MIT AND GPL-3.0", False), ("GPL-3.0 OR MIT", True)],
)
def test_a_licence_that_is_not_listed_is_not_allowed(licence: str, is_allowed: bool) -> None:
    assert licences.is_allowed(licence) is is_allowed


def test_bill_of_materials_names_what_is_locked() -> None:
    bom = json.loads(sbom())

    assert (bom["bomFormat"], bom["specVersion"], bom["metadata"]["component"]["name"]) == (
        "CycloneDX",
        "1.6",
        "llmproxy",
    )
    assert {(each["name"], each["version"]) for each in bom["components"]} == {(e.name, e.version) for e in PACKAGES}
    for each in bom["components"]:
        assert each["purl"] == f"pkg:pypi/{canonicalize_name(each['name'])}@{each['version']}"
        assert licences.is_allowed(each["licenses"][0]["expression"])
        assert all(len(digest["content"]) == 64 for digest in each["hashes"])


@pytest.mark.parametrize(
    ("packages", "code", "told"),
    [
        ([Package("a", "1")], 0, "1 packages audited, 0 known"),
        ([Package("a", "1"), Package("b", skip_reason="not found")], 1, "b: not audited, not found"),
        ([Package("a", "1", [Vulnerability("GHSA-1", ["2"])])], 2, "a 1: GHSA-1, mended in 2"),
        ([Package("a", "1", [Vulnerability("GHSA-1")]), Package("b", skip_reason="x")], 2, "mended in no version yet"),
    ],
)
def test_what_was_not_audited_is_not_taken_for_sound(packages: list[Package], code: int, told: str) -> None:
    assert verdict(packages) == code
    assert told in "\n".join(lines(packages))
