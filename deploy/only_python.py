"""`python only_python.py`, the last step of the image's build: takes out of it all programs but Python, what
installs more, and itself, so that whoever gets in finds neither a shell nor a package manager.

Libraries stay, and Debian's list of packages, from which scanners tell what has to be updated.
"""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

PROGRAMS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "usr/libexec", "usr/lib/apt")
INSTALLERS = ("ensurepip", "pip", "pip-*", "setuptools", "setuptools-*", "wheel", "wheel-*")


def needless(root: Path, modules: Iterable[Path]) -> set[Path]:
    """Programs below `root` that are not Python, and what in the folders of `modules` installs others."""
    programs = {path for folder in PROGRAMS for path in (root / folder).resolve().glob("*")}
    installers = {path for folder in modules for name in INSTALLERS for path in folder.glob(name)}
    return {path for path in programs if not path.name.startswith("python")} | installers


def remove(path: Path) -> None:
    """A file, a link or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


if __name__ == "__main__":
    for found in needless(Path("/"), [Path(folder) for folder in sys.path if folder]):
        remove(found)
    remove(Path(__file__).parent)
