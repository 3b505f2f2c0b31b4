"""What is measured: something that answers chat completions at a URL."""

from collections.abc import Mapping

from msgspec import Struct, field

from bench.servers.children import Child, Children, post
from bench.servers.payloads import KEY, MODEL, question
from bench.servers.processes import family

PATH = "/v1/chat/completions"
HEADERS = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
"""What every client sends."""


class Subject(Struct, frozen=True, kw_only=True):
    """A provider asked directly, or a proxy in front of one."""

    name: str
    url: str
    """Where completions are asked for."""
    child: Child | None = None
    """Its process; None = it is not measured itself."""
    headers: Mapping[str, str] = field(default_factory=lambda: HEADERS)
    model: str = MODEL
    """What it calls the model."""
    passes_events_on: bool = True
    """Are the events of a stream the provider's, one by one?"""

    def pids(self) -> list[int]:
        """All its processes, at this moment."""
        return family(self.child.pid) if self.child is not None else []

    def asked(self, body: bytes) -> bytes:
        """A question as this subject wants it: with its own name of the model."""
        return body.replace(f'"model":"{MODEL}"'.encode(), f'"model":"{self.model}"'.encode(), 1)

    def check(self) -> None:
        """Raises `RuntimeError` unless it gives the answer it should."""
        status, body = post(self.url, self.asked(question()), self.headers)
        if status != 200 or b"chat.completion" not in body:
            raise RuntimeError(f"{self.name} answered {status}: {body[:300].decode(errors='replace')}")

    def stop(self, children: Children) -> None:
        """End its process."""
        if self.child is not None:
            children.stop(self.child)


def direct(origin: str) -> Subject:
    """The provider itself."""
    return Subject(name="direct", url=f"{origin}{PATH}")
