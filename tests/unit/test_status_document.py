"""The status page as a document: nothing is fetched from elsewhere, its colours can be read, its samples are what the
proxy really says."""

import base64
import hashlib
import re
from pathlib import Path

import msgspec
import pytest

from adapters.http.status_page.document import status_document
from adapters.http.status_routes import page_of
from application.use_cases.overview import Overview
from tests.status_samples import SAMPLES

HTML = status_document().html.decode()
POLICY = dict(status_document().headers)["content-security-policy"]
CSS = (Path(__file__).parents[2] / "src/adapters/http/status_page/page.css").read_text()


@pytest.mark.parametrize("sample", SAMPLES)
def test_samples_have_the_shape_of_the_real_thing(sample: str) -> None:
    made = SAMPLES[sample]()

    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(made, Overview))) == made


def test_the_policy_allows_this_script_and_this_style_and_nothing_else() -> None:
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", HTML, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in POLICY
    assert POLICY.startswith("default-src 'none';") and "unsafe" not in POLICY and "http" not in POLICY


def test_nothing_is_fetched_from_elsewhere_and_no_handler_is_inline() -> None:
    addresses = set(re.findall(r"""https?://[^'"\s<]+""", HTML)) - {
        "http://www.w3.org/2000/svg",
        "http://ADDRESS/status",
    }

    assert addresses == set()
    assert not re.search(r"<[^>]+\son[a-z]+=", HTML) and not re.search(r"<[^>]+\sstyle=", HTML)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", HTML)
    assert not re.search(r"@import|url\(", CSS)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft", "link", "ok", "warn", "bad", "info"])
def test_every_text_can_be_read(scheme: int, ink: str) -> None:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[scheme]))

    assert all(_contrast(colours[ink], colours[ground]) >= 4.5 for ground in ("paper", "sheet"))


@pytest.mark.parametrize(
    ("path", "accept", "found"),
    [
        ("/", "text/html,application/xhtml+xml,*/*;q=0.8", "/status/page"),
        ("/status", "text/html", "/status/page"),
        ("/status/", "text/html", "/status/page"),
        ("/status", "*/*", "/status"),
        ("/status", "", "/status"),
        ("/status", "application/json, text/html", "/status"),
        ("/", "*/*", None),
        ("/status/page", "text/html", None),
        ("/health", "text/html", "/health"),
    ],
)
def test_browsers_get_the_page_and_others_what_they_always_got(path: str, accept: str, found: str | None) -> None:
    page = page_of(path, accept.encode())

    assert (page and page.path) == found


def test_the_page_needs_no_key_and_the_figures_do() -> None:
    page, figures = page_of("/status", b"text/html"), page_of("/status")

    assert page is not None and not page.needs_key
    assert figures is not None and figures.needs_key
