"""The `/_control/` API: what came in, what is to go wrong, how the provider behaves. JSON in and out."""

from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from simulator.calls import Request
from simulator.faults.rules import FaultPlan, Rule
from simulator.protocol.reply import Reply, json_reply
from simulator.records import Counts, Record
from simulator.settings import ProviderSettings

PREFIX = "/_control/"
_RULES = msgspec.json.Decoder(list[Rule])


class _Faults(msgspec.Struct, forbid_unknown_fields=True):
    faults: list[Rule]


_FAULTS = msgspec.json.Decoder(_Faults)


class Controlled(Protocol):
    """What the API drives; the same calls are there for whoever runs the provider in its own process."""

    faults: FaultPlan

    @property
    def settings(self) -> ProviderSettings: ...
    @property
    def records(self) -> list[Record]: ...
    def counts(self) -> Counts: ...
    def reset(self) -> None: ...
    def set_faults(self, rules: list[Rule]) -> None: ...
    def apply(self, settings: ProviderSettings) -> None: ...


def control(provider: Controlled, request: Request) -> Reply:
    """Answers one control request. Mistakes come back as 400 with the place and what is valid."""
    path, _, query = request.target.partition("?")
    try:
        return _dispatch(provider, request.method, path.removeprefix(PREFIX), query, request.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return json_reply(400, {"error": str(error)})


def _dispatch(provider: Controlled, method: str, name: str, query: str, body: bytes) -> Reply:
    match method, name:
        case "GET", "requests":
            with_body = parse_qs(query).get("bodies") != ["0"]
            return json_reply(200, [record.as_dict(with_body=with_body) for record in provider.records])
        case "GET", "counts":
            return json_reply(200, provider.counts())
        case "POST", "reset":
            provider.reset()
            return json_reply(200, {})
        case "PUT", "faults":
            is_list = body.lstrip().startswith(b"[")
            provider.set_faults(_RULES.decode(body) if is_list else _FAULTS.decode(body).faults)
        case "DELETE", "faults":
            provider.set_faults([])
        case "PATCH", "settings":
            provider.apply(changed(provider.settings, msgspec.json.decode(body, type=dict[str, Any])))
        case "GET", "faults" | "settings":
            pass
        case _:
            return json_reply(404, {"error": f"no such control request: {method} {PREFIX}{name}"})
    return json_reply(200, provider.settings if name == "settings" else shown_faults(provider.faults))


def changed(settings: ProviderSettings, changes: dict[str, Any]) -> ProviderSettings:
    """The settings with some values replaced, under the names the scenario file uses.

    Raises `msgspec.ValidationError` for an unknown name or a wrong value.
    """
    return msgspec.convert({**msgspec.to_builtins(settings), **changes}, ProviderSettings)


def shown_faults(plan: FaultPlan) -> dict[str, Any]:
    """The rules, and for each how often its match fitted and how often it acted."""
    return {"faults": plan.rules, "consulted": plan.consulted, "acted": plan.acted}
