"""What an endpoint's answer to the question for its models says about serving."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import msgspec
from msgspec import Struct

from application.messages import WholeReply
from domain.endpoint import Endpoint
from domain.failure import Failure, FailureKind

_KEYLESS = "asked without a key, as the client's own is used"
_REFUSING = (FailureKind.AUTH, FailureKind.KEY)


class Answer(Struct, frozen=True):
    """What became of asking one endpoint. Holds no key."""

    serves: bool | None  # None = what it said tells neither
    says: str  # in words for people
    times_ms: Mapping[str, float] = {}  # of `dns`, `tcp`, `tunnel`, `tls`, `answer`, as far as it came


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


_DECODER = msgspec.json.Decoder(_Models | list[_Model])


def listed(reply: WholeReply) -> list[str] | None:
    """The models that a reply names; None = it is no list of models."""
    try:
        told = _DECODER.decode(reply.body)
    except (ValueError, RecursionError):
        return None
    models = told.data if isinstance(told, _Models) else told
    # Google's list puts a folder before the names, which calls may leave out.
    return [model.id.removeprefix("models/") for model in models]


def unanswered(failure: Failure) -> Answer:
    return Answer(False, f"does not answer: {failure.reason or failure.kind}")


def on_models(endpoint: Endpoint, reply: WholeReply, failure: Failure | None) -> Answer:
    """What the reply to `GET /models` means; `failure` is how it was judged, None = as an answer."""
    status = reply.status
    if not endpoint.owns_credential and status in (401, 403):
        return Answer(True, f"answers ({status}); {_KEYLESS}")
    if status in (401, 403) or (failure is not None and failure.kind in _REFUSING):
        return Answer(False, f"refuses the key ({_words(status, failure)})")
    if status == 429 and not (failure is not None and failure.kind is FailureKind.MONEY):
        return Answer(True, "takes the key, and is at its rate limit now (429)")
    if status in (404, 405):
        return Answer(None, f"answers {status} to GET /models: a wrong path in the URL, or a provider without a list")
    if status != 200:
        return Answer(False, f"answers {_words(status, failure)}")
    models = listed(reply)
    if models is None:
        return Answer(False, "answers with something else than a list of models: is the path in the URL right?")
    return _on_list(endpoint, models)


def on_deployment(endpoint: Endpoint, deployment: str, reply: WholeReply, failure: Failure | None) -> Answer:
    """What the reply of an Azure deployment to a call without messages means: the refusal of that is good news."""
    kind = None if failure is None else failure.kind
    if kind is FailureKind.NOT_FOUND or reply.status == 404:
        return Answer(False, f"takes the key, and has no deployment {deployment}")
    if reply.status in (401, 403) and endpoint.owns_credential:
        return Answer(False, f"lists models, and refuses the key for the deployment {deployment} ({reply.status})")
    if reply.status in (200, 400, 422, 429):
        return Answer(True, f"takes the key, and does not deny the deployment {deployment}")
    return Answer(None, f"takes the key; of the deployment {deployment} it says {_words(reply.status, failure)}")


def _on_list(endpoint: Endpoint, models: Sequence[str]) -> Answer:
    if endpoint.provider == "azure":
        return Answer(None, "takes the key; Azure lists models, and not the deployments")
    keyless = "" if endpoint.owns_credential else f"; {_KEYLESS}"
    if endpoint.model in models:
        return Answer(True, f"has the model {endpoint.model}{keyless}")
    near = get_close_matches(endpoint.model[:64], [model[:64] for model in models[:2000]], n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return Answer(False, f"has no model {endpoint.model} among the {len(models)} it lists{meant}{keyless}")


def _words(status: int, failure: Failure | None) -> str:
    """The judge's words, which begin with the status as a rule and are fit to be shown."""
    reason = "" if failure is None else failure.reason
    return reason if reason.startswith(str(status)) else f"{status} {reason}".strip()
