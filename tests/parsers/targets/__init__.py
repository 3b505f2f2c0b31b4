"""All parsers that are fuzzed. Whatever bytes come in: no exception but the documented ones, the same result however
they are cut, no more work than their length explains, and what a second parser says where there is one."""

from collections.abc import Sequence

from tests.parsers.target import Target
from tests.parsers.targets import bodies, config, events, headers, http, json_texts, replies, sockets, stores

TARGETS: Sequence[Target] = (
    *http.TARGETS, *headers.TARGETS, *bodies.TARGETS, *json_texts.TARGETS, *replies.TARGETS, *events.TARGETS,
    *sockets.TARGETS, *stores.TARGETS, *config.TARGETS,
)  # fmt: skip
