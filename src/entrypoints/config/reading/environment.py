"""`os.environ/NAME` in a configuration file: the value of an environment variable."""

import re
from collections.abc import Mapping

from entrypoints.config.reading.document import Scalar
from entrypoints.config.reading.mistakes import may_be_credential

PREFIX = "os.environ/"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class VariableMistake(Exception):
    """The reference itself is wrong, whatever the setting; `str(error)` says how to mend it."""


def resolve(given: Scalar, environ: Mapping[str, str]) -> Scalar:
    """`given`, or the variable's value where `given` is `os.environ/NAME`.

    White space around a variable's value is dropped: a key read from a mounted file often ends in a
    newline. An empty text means that the variable is set but empty; what that means is the caller's
    decision. Raises `VariableMistake` when the variable is not set or the reference is malformed.
    """
    text = given.value
    if not isinstance(text, str):
        return given
    if not text.startswith(PREFIX):
        return given
    name = text.removeprefix(PREFIX)
    if not _NAME.fullmatch(name) or may_be_credential(name):
        raise VariableMistake("os.environ/ is not followed by a variable's name; valid: os.environ/NAME")
    value = environ.get(name)
    if value is None:
        raise VariableMistake(
            f"the environment variable {name} is not set; valid: export {name}=... before starting, "
            "or another value here"
        )
    return Scalar(value.strip(), value.strip(), given.line, name)


def refuse_empty(given: Scalar) -> None:
    """Raise `VariableMistake` when `given` came from a variable that is set but empty."""
    if given.variable is not None and not given.text:
        raise VariableMistake(
            f"the environment variable {given.variable} is empty, which counts as not set; "
            f"valid: export {given.variable}=... before starting, or another value here"
        )
