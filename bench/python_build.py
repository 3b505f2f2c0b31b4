"""`python bench/python_build.py`: the build of the Python that runs this. An optimised one takes fewer instructions for
the same work (6 % fewer for a chat completion), so figures of different builds are not compared. Nothing but the
standard library is imported: any interpreter can be asked."""

import platform
import sys
import sysconfig


def is_optimised() -> bool:
    """True for builds with profile-guided optimisation, as the image's. Debian's has it too, and takes the flags out of
    what sysconfig tells (debian/rules); it is known by its install scheme."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return "--enable-optimizations" in arguments or "deb_system" in sysconfig.get_scheme_names()


def name() -> str:
    """Such as `CPython 3.11.2 optimised, GCC 12.2.0, x86_64`."""
    kind = "optimised" if is_optimised() else "plain"
    version = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{version} {kind}, {platform.python_compiler()}, {platform.machine()}"


if __name__ == "__main__":
    sys.stdout.write(name())
