"""Which configuration is served, and what became of the last attempt to replace it."""

from msgspec import Struct, structs


class ReloadState(Struct, frozen=True):
    """The same in all workers. Holds no secret."""

    generation: int = 1
    """Of the configuration: 1 at the start, and one more with each that was taken over since."""
    succeeded_unix: float = 0.0
    """When that was, in unix seconds."""
    refusals: int = 0
    """How often a reload was refused since the start."""
    refused_unix: float | None = None
    """When one was refused since the last success; None = none was."""
    refusal: str = ""
    """Why, with file, line and column of each mistake; empty = none was."""

    def after_success(self, unix: float) -> "ReloadState":
        """Another configuration is served from `unix` on."""
        return ReloadState(self.generation + 1, unix, self.refusals)

    def after_refusal(self, why: str, unix: float) -> "ReloadState":
        """One was refused, and the one before it stays."""
        return structs.replace(self, refusals=self.refusals + 1, refused_unix=unix, refusal=why)


class Reloads:
    """What this worker knows of them; its parent tells it."""

    def __init__(self, state: ReloadState) -> None:
        self.state = state
