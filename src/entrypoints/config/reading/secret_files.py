"""`file:/run/secrets/NAME`: a secret that stands in a file of its own, where `os.environ/NAME` might stand.

A variable is as it was when the process started; a file is read anew with each reload.
"""

import errno
import stat
from pathlib import Path

from msgspec.structs import replace

from entrypoints.config.reading.document import Node
from entrypoints.config.reading.schema import Kind, Refused
from entrypoints.config.reading.shown import may_be_credential

PREFIX = "file:"
MAX_BYTES = 64 << 10

_VALID = f"{PREFIX}/path of a text file in UTF-8 of up to {MAX_BYTES} bytes that holds the secret alone"


def file_of(given: Node, kind: Kind, folder: Path) -> Path | None:
    """The file that `given` names, seen from `folder`; None = the value stands where it is."""
    text = given.value
    if not kind.is_secret or given.variable is not None or not isinstance(text, str) or not text.startswith(PREFIX):
        return None
    return folder / text.removeprefix(PREFIX)


def read_secret(given: Node, file: Path) -> Node:
    """What stands in the file, but for a newline at its end. Raises `Refused` where there is no usable text."""
    name = _shown(given.text.removeprefix(PREFIX))
    try:
        raw = _read(file)
    except OSError as error:
        why = {errno.ENOENT: "does not exist", errno.EACCES: "may not be read by this user", errno.ENODATA: "is none"}
        why |= {errno.ENOTDIR: "does not exist"}
        raise _refused(name, why.get(error.errno or 0, "cannot be read")) from None
    except ValueError:
        raise _refused(name, "has a name that no file can have") from None
    if len(raw) > MAX_BYTES:
        raise _refused(name, f"is larger than {MAX_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise _refused(name, "is not text in UTF-8") from None
    if text.startswith("\ufeff"):
        raise _refused(name, "begins with a byte order mark, which would belong to the secret")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise _refused(name, "is empty")
    if "\n" in text:
        raise _refused(name, "has more than one line")
    return replace(given, value=text, text=text, file=name)


def _read(file: Path) -> bytes:
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.ENODATA, "no regular file")  # a pipe would be waited for, and gives its content once
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)


def _refused(name: str, why: str) -> Refused:
    return Refused(problem=f"the file {name} {why}", valid=_VALID, fix=f"write the secret into {name}, or name another")


def _shown(name: str) -> str:
    """A key that was written here by mistake is no path. `file:///run/x` is `/run/x`."""
    name = name[2:] if name.startswith("///") else name
    is_path = name[:1] in ("/", ".") or not may_be_credential(name)
    return name.encode("unicode_escape").decode("ascii") if is_path else "..."
