"""What a client is told when it gets no answer. `str(error)` is the sentence it reads.

`code` is stable; the HTTP adapter turns each error into the OpenAI error body, and each code into a status.
"""

from collections.abc import Iterable, Sequence

from application.messages import Attempt, reasons
from domain.failure import Failure, FailureKind


class ProxyError(Exception):
    code = "internal_error"
    type = "server_error"
    param: str | None = None
    retry_after_s: float | None = None  # seconds after which trying again makes sense; None = nothing is known of that
    should_retry: bool | None = None  # False = a retry would not help, or multiply the load; None = the client decides


class InvalidRequest(ProxyError):
    """The request cannot be understood or is not allowed; `param` names the field, None = the request as a whole."""

    type = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class UnknownModel(ProxyError):
    code = "model_not_found"
    type = "invalid_request_error"
    param = "model"

    def __init__(self, model: str, served: Iterable[str]) -> None:
        super().__init__(f"The model '{_shown(model)}' is not served here. Served: {', '.join(served)}.")


class NoGroup(ProxyError):
    """The request names no model, and the configuration has no group for such requests."""

    code = "no_model_group"
    type = "invalid_request_error"
    should_retry = False

    def __init__(self, path: str) -> None:
        super().__init__(
            f"'{_shown(path)}' names no model, and there are several model groups: "
            "general_settings.passthrough_group says which of them takes such requests."
        )


class Closed(ProxyError):
    """The configuration does not let such requests through to any provider."""

    type = "invalid_request_error"
    should_retry = False

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def passthrough(cls, path: str) -> "Closed":
        text = (
            f"'{_shown(path)}' names no model group, and this proxy passes nothing else on (passthrough: off). Name a "
            "model group in 'model', or a response, conversation or stored completion by its id. To open it, write "
            "under general_settings: passthrough: on"
        )
        return cls(text, "passthrough_off")

    @classmethod
    def administration(cls, path: str) -> "Closed":
        text = (
            f"'{_shown(path)}' administers the provider's account, which is closed unless the configuration says so. "
            "To open it, write under general_settings: passthrough: admin"
        )
        return cls(text, "administration_closed")

    @classmethod
    def tenancy(cls, method: str, path: str, *, is_list: bool) -> "Closed":
        """Nobody knows whose things it is about, where those of each key are its own."""
        what = "lists what all keys have made" if is_list else "is not known to be about one key's things alone"
        text = (
            f"'{method} {_shown(path)}' {what}, and this proxy keeps keys apart (tenancy: key). Served are the calls "
            "of models, and what your key has made, by its id. To open it to all keys alike, write under "
            "general_settings: tenancy: shared"
        )
        return cls(text, "not_per_key")


class NotFound(ProxyError):
    code = "not_found"
    type = "invalid_request_error"
    should_retry = False

    def __init__(self, name: str, why: str = "") -> None:
        shown = name[:200].encode("utf-8", "replace").decode()
        super().__init__(f"'{shown}' is not found{why and ': ' + why}.")


class WasDeleted(NotFound):
    """What the request asks for or builds on was deleted through the proxy, and its keeper cannot say so itself."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "it was deleted")


class NotKnownNow(ProxyError):
    """Whose things the request names cannot be looked up: the store is away."""

    code = "owners_unavailable"
    retry_after_s = 1.0

    def __init__(self) -> None:
        super().__init__("Whose the things are that this request names cannot be looked up now; try again.")


class AllLimited(ProxyError):
    """Every endpoint that could serve is at its rate limit, and the first to recover does not in time."""

    code = "rate_limit_exceeded"
    type = "rate_limit_error"

    def __init__(
        self, group: str, retry_after_s: float, attempts: Sequence[Attempt], *, is_pinned: bool = False
    ) -> None:
        """`is_pinned`: only one account was asked, the one that keeps what the request builds on."""
        tried = f" Tried: {reasons(attempts)}." if attempts else ""
        is_last = f"is at its rate limit; the first one recovers in {retry_after_s:.1f} s.{tried}"
        whose = "the account that keeps what this request builds on" if is_pinned else f"'{group.rstrip()}'"
        super().__init__(f"Every endpoint of {whose} {is_last}")
        self.retry_after_s = retry_after_s


class HandedOver(ProxyError):
    """Another endpoint, and so another socket, is to answer this turn. Clients that recover at this code send the whole
    conversation there (Codex, pi, opencode), and at no other."""

    code = "websocket_connection_limit_reached"
    type = "invalid_request_error"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Go on with a new socket, and the whole input: {reason}.")


class UpstreamsFailed(ProxyError):
    """No endpoint could answer; `failure` is the one that tells most."""

    def __init__(self, group: str, failure: Failure, attempts: Sequence[Attempt], *, spent: bool) -> None:
        """`spent`: nothing is left to try, so that a retry by the client would only multiply the load."""
        self.code = _UPSTREAM_CODES.get(failure.kind, "upstream_error")
        self.retry_after_s = failure.retry_after_s
        self.should_retry = False if spent else None
        tried = f" Tried: {reasons(attempts)}." if attempts else ""
        super().__init__(f"No endpoint of '{group.rstrip()}' could answer: {failure}.{tried}")


_UPSTREAM_CODES = {
    FailureKind.AUTH: "upstream_auth_failed",
    FailureKind.KEY: "upstream_auth_failed",
    FailureKind.MISCONFIGURED: "upstream_misconfigured",
    FailureKind.OVERLOADED: "upstream_overloaded",
    FailureKind.CONNECT_TIMEOUT: "upstream_timeout",
    FailureKind.FIRST_BYTE_TIMEOUT: "upstream_timeout",
    FailureKind.IDLE_TIMEOUT: "upstream_timeout",
    FailureKind.REQUEST_TIMEOUT: "upstream_timeout",
    FailureKind.DEADLINE: "deadline_exceeded",
    FailureKind.SLOW: "deadline_exceeded",
    FailureKind.LOCAL: "proxy_out_of_resources",
    FailureKind.PATH_REFUSED: "upstream_path_refused",
    FailureKind.NO_CREDENTIAL: "upstream_credential_unavailable",
}


def _shown(text: str) -> str:
    return text if len(text) <= 100 else text[:100] + "..."
