"""What was decided for one request, for people."""

from typing import Any

from msgspec import Struct

from application.telemetry_ports import RequestRecord


class Decision(Struct, frozen=True):
    """One of the last requests, as the log says it; nothing of what its client sent."""

    request_id: str
    unix: float
    """When it was over, in unix seconds."""
    group: str
    """Empty = it is for none of the configuration's."""
    api: str
    endpoint: str
    attempts: int
    reasons: str
    status: int
    outcome: str
    stream: bool
    cache: str
    total_ms: float
    first_byte_ms: float
    overhead_ms: float

    @classmethod
    def of(cls, record: RequestRecord, group: str, unix: float) -> "Decision":
        """`group`: empty where the record's is what the client calls it."""
        own: dict[str, Any] = {"group": group, "unix": unix}
        return cls(**{name: own[name] if name in own else getattr(record, name) for name in cls.__struct_fields__})
