"""A configuration of two groups."""

from pathlib import Path

from entrypoints.config.load import load_settings


def settings_of(tmp_path: Path, text: str):  # type: ignore[no-untyped-def]
    path = tmp_path / "llmproxy.yaml"
    path.write_text(text)
    return load_settings(path, {})


TWO = """
model_groups:
  - model_group: gpt
    models:
      - {model: gpt-4o, weight: 3, params: {api_key: key-one}}
      - {model: dep, weight: 1, params: {azure_endpoint: https://r.openai.azure.com, api_version: v1, api_key: key-two}}
      - {model: gpt-4o, weight: 0, params: {api_key: key-one, base_url: https://eu.api.openai.com/v1}}
"""
