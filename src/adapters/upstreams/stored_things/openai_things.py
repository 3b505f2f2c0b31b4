"""The `Things` port: what requests and replies say of what providers keep."""

from collections.abc import Sequence
from urllib.parse import unquote_plus

from adapters.upstreams.stored_things.claims import claims
from adapters.upstreams.stored_things.references import form_references, query_references, references
from application.ports import Named


class OpenAIThings:
    """As OpenAI's API has them, and those that speak it."""

    def named(self, body: bytes) -> Named:
        """What a body of JSON names."""
        return references(body)

    def in_form(self, fields: Sequence[tuple[str, str]]) -> Sequence[str]:
        """The ids that the fields of a form name."""
        return form_references(fields)

    def in_query(self, query: str) -> Sequence[str]:
        """The ids in a query."""
        return query_references(unquote_plus(part.partition("=")[2]) for part in query.split("&"))

    def made(self, text: bytes, *, is_dialogue: bool) -> Sequence[str]:
        """The ids of what a reply says that it made."""
        return claims(text, is_dialogue=is_dialogue)
