"""The `Things` port: what requests and replies say of what providers keep."""

from adapters.upstreams.stored_things.claims import claims
from adapters.upstreams.stored_things.references import form_references, query_references, references


class OpenAIThings:
    """As OpenAI's API has them, and those that speak it. See `Things`."""

    named = staticmethod(references)
    in_form = staticmethod(form_references)
    in_query = staticmethod(query_references)
    made = staticmethod(claims)
