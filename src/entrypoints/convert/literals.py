"""Secrets that stand in the input as they are: they become environment variables, unless they are to be kept."""

import re
from collections.abc import Collection

from msgspec import Struct

from entrypoints.convert.source import VARIABLE, Node

_PLACEHOLDERS = """
    none null empty fake fake-key fake-api-key dummy dummy-key anything not-needed no-key no-key-required
    lm-studio ollama
"""
_NO_SECRETS = frozenset(_PLACEHOLDERS.split())  # what people write where a server wants no key
_LONGEST = 16  # letters; our reader takes a long name with a digit for a key that stands where a name should


class Export(Struct, frozen=True, eq=False):
    """A variable to set before the start: its value is what stands at the node."""

    variable: str
    node: Node


class Literals:
    """Gives each secret its variable; the same secret has the same one."""

    def __init__(self, taken: Collection[str], *, kept: bool) -> None:
        """`taken` are the names that the input uses; `kept` = secrets are carried as they are."""
        self._taken = set(taken)
        self._kept = kept
        self._by_secret: dict[str, str] = {}
        self.exports: list[Export] = []

    def put(self, node: Node, name: str) -> str:
        """What to write for the secret at `node`: as a rule `os.environ/` and a name that begins with `name`."""
        secret = str(node.value).strip()
        if self._kept or node.is_variable or secret.lower() in _NO_SECRETS:
            return secret
        if secret not in self._by_secret:
            self._by_secret[secret] = self._free(re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")[:_LONGEST])
            self.exports.append(Export(self._by_secret[secret], node))
        return VARIABLE + self._by_secret[secret]

    def _free(self, name: str) -> str:
        name = f"KEY_{name}" if not name or name[0].isdigit() else name
        free, number = name, 2
        while free in self._taken:
            free, number = f"{name}_{number}", number + 1
        self._taken.add(free)
        return free
