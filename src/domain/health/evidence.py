"""What says something of an endpoint only together with what was seen of it before: silence, and a refusal of one use.

One request that runs out of time without a byte says little, several in a row say that it hangs. What is refused for
one API while another goes well is a right or a deployment that is missing there, no reason to give up the endpoint.
"""

from collections.abc import Mapping

from msgspec import Struct

from domain.failure import Failure, FailureKind

SILENCE_S = 10.0  # a shorter wait is nothing unusual: what is not streamed is silent until it is made

SILENT_REQUESTS = 3  # so many in a row without a byte until their time was over: the endpoint hangs

TRUST_S = 300.0  # how long a key that was good for one use is believed to be so when another is refused

TRUST_IN_PLACE_S = 3600.0  # how long a path or a model that was there for one use is, when another is not there

HANGS = Failure(FailureKind.FIRST_BYTE_TIMEOUT, f"{SILENT_REQUESTS} requests in a row without a byte")


class Silence(Struct, frozen=True):
    """Requests in a row that ran out of time without a byte."""

    requests: int = 0
    hung: int = 0  # those that waited at least `SILENCE_S`: an impatient client says nothing

    def after_timeout(self, waited_s: float) -> "Silence":
        return Silence(self.requests + 1, self.hung + (waited_s >= SILENCE_S))

    @property
    def is_hang(self) -> bool:
        """Are they reason enough to call it a failure of the endpoint (`HANGS`), and to count anew?"""
        return self.hung >= SILENT_REQUESTS


NO_SILENCE = Silence()  # a byte came


def is_of_one_use(well_at: Mapping[str, float], refused: str, now: float, kind: FailureKind) -> bool:
    """Is a refusal a matter of the `refused` use alone? `well_at` says when each use last went well, of those that were
    not refused since.

    A key ends for all uses at once, so that another must have gone well lately. A path or a model that is not there for
    one use says little of another that was; but a deployment that is deleted is to be noticed some day.
    """
    trust_s = TRUST_IN_PLACE_S if kind is FailureKind.NOT_FOUND else TRUST_S
    return any(use != refused and now - at < trust_s for use, at in well_at.items())
