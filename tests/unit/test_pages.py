"""README and docs: every link leads somewhere, every page is listed, every configuration is valid, every code known."""

import re
from pathlib import Path

import pytest
import yaml

from adapters.http.server import error_body
from entrypoints.config.load import load_settings
from tests.documented import PAGES, ROOT, Block, blocks

LINKED = (*PAGES, ROOT / "CHANGELOG.md")
_LINK = re.compile(r"\[[^][]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
MINIMAL = {"model_groups": [{"model_group": "g", "models": [{"model": "m", "params": {"api_key": "key"}}]}]}


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    without_code = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    lost = []
    for link in _LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not re.match(r"\w+:", link) and not (
            target.exists() and (not anchor or target.suffix != ".md" or anchor in anchors(target))
        ):
            lost.append(link)

    assert lost == []


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")

    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index] == ["index.md"]


def test_figures_of_the_readmes_simulation_are_those_of_its_page() -> None:
    part = (ROOT / "README.md").read_text(encoding="utf-8").split("## Try it before")[1].split("\n## ")[0]
    report = (ROOT / "docs/simulate.md").read_text(encoding="utf-8")
    figures = re.findall(r"\d+,\d{3}(?=\D)", part.split("```")[2])

    assert len(figures) == 2
    assert [figure for figure in figures if figure not in report] == []


def configurations() -> list[Block]:
    """The YAML of the pages that is one of this proxy's files, or a part of one."""
    sections = {"model_groups", "general_settings"}
    found = [(block, yaml.safe_load(block.text)) for block in blocks("yaml")]
    return [block for block, told in found if isinstance(told, dict) and told.keys() & sections]


@pytest.mark.parametrize("block", configurations(), ids=lambda block: block.name)
def test_every_configuration_is_valid(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "llmproxy.yaml"
    path.write_text(yaml.safe_dump(MINIMAL | yaml.safe_load(block.text)))
    environ = {name: f"value-of-{name}" for name in re.findall(r"os\.environ/(\w+)", block.text)}

    assert load_settings(path, environ).groups


def test_troubleshooting_has_every_code_of_an_error_with_its_status() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d{3}) \| (.*) \|$", page, re.MULTILINE))

    for status, codes in error_body.CODES_BY_STATUS.items():
        assert [code for code in codes if f"`{code}`" not in rows[str(status)]] == [], status
