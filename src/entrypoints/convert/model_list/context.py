"""What the entries of `model_list` need of the rest of the file."""

from collections.abc import Mapping

from msgspec import Struct

from entrypoints.convert.literals import Literals
from entrypoints.convert.source import Node


class Context(Struct, frozen=True):
    literals: Literals
    credentials: Mapping[str, Mapping[str, Node]]  # `credential_values` by `credential_name`
    has_entra: bool  # whether LiteLLM fetches Entra tokens where there is no key
    plain_http_hosts: list[str]  # is added to: hosts that are called without TLS
