"""`os.environ/NAME` in a configuration file: the value of an environment variable."""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from entrypoints.config.reading.document import Scalar
from entrypoints.config.reading.schema import Refused
from entrypoints.config.reading.shown import may_be_credential

PREFIX = "os.environ/"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def resolve(given: Scalar, environ: Mapping[str, str]) -> Scalar:
    """`given`, or the variable's value where `given` is `os.environ/NAME`.

    White space around a variable's value is dropped: a key read from a mounted file often ends in a newline. An empty
    text means that the variable is set but empty; what that means is the caller's decision. Raises `Refused` when the
    variable is not set or the reference is malformed.
    """
    text = given.value
    if not isinstance(text, str) or not text.startswith(PREFIX):
        return given
    name = text.removeprefix(PREFIX)
    if not _NAME.fullmatch(name) or may_be_credential(name):
        raise Refused(
            problem="os.environ/ is not followed by a variable's name",
            valid="os.environ/NAME",
            fix="write the name of a variable, not its value",
        )
    value = environ.get(name)
    if value is None:
        raise Refused(problem=f"the environment variable {name} is not set", fix=_export(name))
    return replace(given, value=value.strip(), text=value.strip(), variable=name)


def refuse_empty(given: Scalar) -> None:
    """Raise `Refused` when `given` came from a variable that is set but empty."""
    if given.variable is not None and not given.text:
        problem = f"the environment variable {given.variable} is empty, which counts as not set"
        raise Refused(problem=problem, fix=_export(given.variable))


def _export(name: str) -> str:
    return f"export {name}=... before starting, or remove it here or write another value"
