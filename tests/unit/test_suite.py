"""What the tests share stands in modules with plain names: one test module can change or go without another."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
IMPORTS = re.compile(
    r"^\s*(?:from|import) tests\.(?:\w+\.)*test_\w+|^\s*from tests(?:\.\w+)* import test_", re.MULTILINE
)


def test_no_test_module_is_imported_by_another() -> None:
    found = {
        str(path.relative_to(TESTS)): match[0]
        for path in TESTS.rglob("*.py")
        for match in IMPORTS.finditer(path.read_text(encoding="utf-8"))
    }

    assert len(list(TESTS.rglob("test_*.py"))) > 100
    assert found == {}
