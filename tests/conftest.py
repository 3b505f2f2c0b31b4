"""For all tests: how long an example of a property test takes says something about the machine, and nothing else.

A property test that names no number of its own runs 30 examples; `LLMPROXY_TEST_DEEP=1` makes it 300.
"""

import gc
import os
from pathlib import Path

from hypothesis import settings

# No test leaves this machine, so nobody's certificate is all that clients and proxies need to trust. To read the roots
# of the system takes each of them 17 ms, a tenth of all the CPU of the suite.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "data/nobodys_certificate.pem")
os.environ["SSL_CERT_DIR"] = ""

settings.register_profile("llmproxy", deadline=None, max_examples=30)
settings.register_profile("deep", deadline=None, max_examples=300)
settings.load_profile("deep" if os.environ.get("LLMPROXY_TEST_DEEP") else "llmproxy")


def pytest_collection_finish() -> None:
    """pytest-asyncio collects the garbage after every test: what was imported and collected by now is no part of that,
    and would be most of it, half of all the CPU of the suite."""
    gc.collect()
    gc.freeze()
