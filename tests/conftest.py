"""For all tests: how long an example of a property test takes says something about the machine, and nothing else.

A property test that names no number of its own runs 30 examples, ten times as many with `LLMPROXY_TEST_DEEP=1`.
"""

import gc
import os
from pathlib import Path

from hypothesis import settings

from tests.examples import examples

# No test leaves this machine, so nobody's certificate is all that clients and proxies need to trust. To read the roots
# of the system takes each of them 17 ms, a tenth of all the CPU of the suite.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "data/nobodys_certificate.pem")
os.environ["SSL_CERT_DIR"] = ""

settings.register_profile("llmproxy", deadline=None, max_examples=examples(30))
settings.load_profile("llmproxy")


def pytest_collection_finish() -> None:
    """What was imported and collected by now is no part of later collections of garbage, of which some tests need many:
    it would be most of their work."""
    _set_aside()


_modules: list[str] = []


def pytest_runtest_logstart(nodeid: str) -> None:
    """The same for what a module's tests have left behind, when the next module begins."""
    module = nodeid.partition("::")[0]
    if _modules[-1:] != [module]:
        _modules.append(module)
        _set_aside()


def _set_aside() -> None:
    gc.collect()
    gc.freeze()
