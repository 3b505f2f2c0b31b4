"""`python -m release.sbom FILE`: the bill of materials of this version, as CycloneDX 1.6 in JSON."""

import sys
import tomllib
import uuid
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from release.licences import licence_of
from release.locked import ROOT, Locked, locked_packages

_NAMESPACE = uuid.UUID("8f3d6f2e-6d0b-5b0e-9d4c-2a0f6c2f7a11")
"""So that the same lock has the same serial number."""


def sbom() -> str:
    """All that may be installed with any extra; each with the digests of its files, of which one is installed."""
    packages = locked_packages()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    proxy = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
        licenses=[LicenseExpression("MIT")],
    )
    components = [_component(package) for package in packages]
    bom = Bom(components=components, serial_number=uuid.uuid5(_NAMESPACE, repr(packages)))
    bom.metadata.component = proxy
    bom.metadata.tools.components.clear()
    bom.register_dependency(proxy, components)
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    return outputter.output_as_string(indent=1) + "\n"


def _component(package: Locked) -> Component:
    said = {"llmproxy:extra": package.extra, "llmproxy:where": package.marker}
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{package.name}@{package.version}",
        purl=PackageURL("pypi", None, package.name, package.version),
        licenses=[LicenseExpression(licence_of(package.name))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.sha256],
        properties=[Property(name=name, value=value) for name, value in said.items() if value],
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(sbom(), encoding="utf-8")
