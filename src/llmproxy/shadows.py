"""Whether the packages that Python would import are the proxy's own. Imports nothing of them."""

import importlib.util
from importlib.metadata import Distribution
from pathlib import Path

PACKAGES = ("domain", "application", "adapters", "entrypoints", "simulator")
HOME = Path(__file__).parents[1]
ADVICE = (
    "Start it in another folder, take that path out of PYTHONPATH, or give llmproxy an environment of its own: "
    "uv tool install, or pipx install"
)


def shadows(home: Path = HOME) -> list[str]:
    """A sentence, with the path, for each package below `home` that something else stands in the place of."""
    found = []
    for name in PACKAGES:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # a module of that name that did not come out of a file
            spec = None
        wanted = home / name / "__init__.py"
        if spec is None:
            found.append(f'the package "{name}" is missing: {wanted}')
        elif spec.origin is None or Path(spec.origin).resolve() != wanted.resolve():
            place = spec.origin or ", ".join(spec.submodule_search_locations or ())
            found.append(f'"{name}" is something else: {place} stands before {wanted.parent}')
    return found or _overwritten(home)


def _overwritten(home: Path) -> list[str]:
    """As above, for files in the place of which another distribution has put its own."""
    firsts = {f"{name}/__init__.py" for name in PACKAGES}
    return [
        f'"{file.parts[0]}" is something else: another distribution has overwritten {home / file}'
        for installed in Distribution.discover(name="llmproxy", path=[str(home)])
        for file in installed.files or ()
        if str(file) in firsts and file.size is not None and (home / file).stat().st_size != file.size
    ]
