"""Configurations of LiteLLM, written as Python values, and what becomes of them."""

from pathlib import Path
from typing import Any

import yaml

from entrypoints.convert.conversion import Converted, convert
from entrypoints.convert.document import document
from entrypoints.convert.source import Node, Source

FILES = Path(__file__).parents[1] / "data/litellm"


def source(value: dict[str, Any]) -> Source:
    """As it would be read from `litellm.yaml`."""
    return Source(_node(value, "").value, [])


def _node(value: Any, path: str) -> Node:
    inner: Any = value
    if isinstance(value, dict):
        inner = {key: _node(each, f"{path}.{key}" if path else key) for key, each in value.items()}
    elif isinstance(value, list):
        inner = tuple(_node(each, f"{path}[{number}]") for number, each in enumerate(value))
    return Node(path, "litellm.yaml", 1, inner)


def converted(value: dict[str, Any], *, literals_kept: bool = False) -> Converted:
    return convert(source(value), literals_kept=literals_kept)


def written(value: dict[str, Any], **options: bool) -> dict[str, Any]:
    """The new file, read as YAML."""
    read = yaml.safe_load(document(converted(value, **options), "litellm.yaml"))
    assert isinstance(read, dict)
    return read


def entry(name: str, **params: Any) -> dict[str, Any]:
    """An entry of `model_list`."""
    return {"model_name": name, "litellm_params": {"model": "openai/gpt-4o", "api_key": "os.environ/K", **params}}


def of(*entries: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {"model_list": list(entries) or [entry("m")], **sections}


def models(value: dict[str, Any], group: str = "m") -> list[dict[str, Any]]:
    """The endpoints of a group of the new file."""
    (found,) = [each["models"] for each in written(value)["model_groups"] if each["model_group"] == group]
    return list(found)


def general(**sections: Any) -> dict[str, Any]:
    """The new `general_settings`."""
    return dict(written(of(**sections))["general_settings"] or {})


def told(value: dict[str, Any]) -> dict[str, str]:
    """What is said of each key that is not simply carried over."""
    return {note.node.path: note.text for note in converted(value).notes()}
