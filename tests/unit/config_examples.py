"""The example configurations, what they need of the environment, and the schema that they name."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "docs/llmproxy.schema.json"
EXAMPLES = [
    example
    for example in sorted((ROOT / "examples").glob("*.yaml"))
    if re.search(r"^model_groups:", example.read_text(encoding="utf-8"), re.MULTILINE)
]


def environment_of(example: Path) -> dict[str, str]:
    """A value for every variable that the example reads."""
    names = re.findall(r"os\.environ/([A-Z_]+)", example.read_text(encoding="utf-8"))
    known = {"REDIS_PORT": "6379", "OUTBOUND_PROXY": "http://user:password@proxy.example:3128"}
    return {name: known.get(name, f"value-of-{name}") for name in names}
