"""A configuration of three endpoints, what a proxy may say of them, and what is explained then."""

import io
import json
from pathlib import Path
from typing import Any

from entrypoints.config.load import load_settings
from entrypoints.explain.explanation import Explanation, explain
from entrypoints.explain.live_status import read_status
from entrypoints.explain.rehearsal import Wanted
from entrypoints.explain.report import print_explanation

CANARY = "sk-canary-hunter2-0123456789"
TIERS = """\
    - {id: a, model: m, weight: 3, params: {api_key: %(key)s, base_url: 'https://a.example/v1'}}
    - {id: b, model: m, weight: 1, params: {api_key: %(key)s, base_url: 'https://b.example/v1'}}
    - {id: c, model: m, weight: 0, params: {api_key: %(key)s, base_url: 'https://c.example/v1'}}
"""
PLENTY = {"limit": 100, "remaining": 90, "reserved": 0, "reset_s": 6}


def config(models: str = TIERS, general: str = "{}", group: str = "") -> str:
    models = models.replace("%(key)s", CANARY)
    return f"general_settings: {general}\nmodel_groups:\n- model_group: gpt\n  {group}\n  models:\n{models}"


def status(group: str = "gpt", waiting: int = 0, **endpoints: dict[str, Any]) -> dict[str, Any]:
    told = [{"id": name, "state": "closed", **fields} for name, fields in endpoints.items()]
    return {"proxy": {"version": "1"}, "groups": [{"model_group": group, "waiting": waiting, "endpoints": told}]}


def explained(
    folder: Path, text: str, live: dict[str, Any] | None = None, model: str = "gpt", tokens: int = 100, client: str = ""
) -> Explanation:
    path = folder / "llmproxy.yaml"
    path.write_text(text)
    read = None
    if live is not None:
        (folder / "status.json").write_text(json.dumps(live))
        read = read_status(str(folder / "status.json"), None)
    return explain(load_settings(path, {}), Wanted(model, tokens, affinity=client), read, live and "status.json")


def words(told: Explanation) -> str:
    out = io.StringIO()
    print_explanation(told, out)
    return out.getvalue()
