"""The status page in a real browser: what it shows, how it keeps up, whom it lets in, what it never does."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.integration.composed import composed
from tests.integration.conftest import StartProvider
from tests.integration.harness import config, endpoint, eventually
from tests.integration.raw_http import JSON
from tests.integration.status_browser import ORIGIN, SampleProxy, chromium, sampled, watching
from tests.status_samples import SAMPLES, busy, decision, empty, failing, large

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = b'{"model":"gpt","messages":[{"role":"user","content":"a secret question"}]}'
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 360, "height": 780}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


async def pass_time(page: Page, seconds: int) -> None:
    """Second by second, so that what is asked for has time to come."""
    for _ in range(seconds):
        await page.clock.run_for(1000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("sample", SAMPLES)
async def test_it_fits_and_nothing_goes_wrong(browser: Browser, sample: str, size: Any, scheme: Any) -> None:
    proxy = SampleProxy(SAMPLES[sample]())
    async with sampled(browser, proxy, viewport=size, color_scheme=scheme) as watched:
        too_wide = await watched.page.evaluate("document.documentElement.scrollWidth - innerWidth")

    assert (watched.troubles, too_wide) == ([], 0)
    assert {request.url for request in watched.asked} <= {f"{ORIGIN}/", f"{ORIGIN}/status"}


async def test_it_says_what_each_endpoint_does_and_why(browser: Browser) -> None:
    async with sampled(browser, SampleProxy(failing())) as watched:
        page = watched.page
        row = {name: page.get_by_role("row", name=name) for name in ("gpt-4o/1", "gpt-4o/2", "sweden-central")}
        cooling = " ".join((await row["gpt-4o/1"].first.inner_text()).split())
        limited = " ".join((await row["gpt-4o/2"].first.inner_text()).split())
        ramping = " ".join((await row["sweden-central"].first.inner_text()).split())
        title = await page.title()

    assert "Cooling 42 s left: server_error (503 upstream overloaded)" in cooling
    assert "13 of 31 server error 9, connection reset 4" in cooling
    assert "Rate limited 18 s left: rate_limited (429 requests per minute)" in limited
    assert "60.2 % of 25 % · weight 1" in limited
    assert "0 of 300 full in 18 s" in limited
    assert "Recovering 4 requests at a time" in ramping
    assert title == "No endpoint can serve o3 · LLMProxy"


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_screen_readers_find_landmarks_tables_and_headers(browser: Browser, size: Any) -> None:
    async with sampled(browser, SampleProxy(busy()), viewport=size) as watched:
        page = watched.page
        await expect(page.get_by_role("main")).to_have_count(1)
        await expect(page.get_by_role("banner")).to_have_count(1)
        await expect(page.get_by_role("heading", level=1, name="LLMProxy")).to_have_count(1)
        await expect(page.get_by_role("region", name="Model group gpt-4o", exact=True)).to_have_count(1)
        table = page.get_by_role("table", name="Endpoints of gpt-4o", exact=True)
        await expect(table.get_by_role("rowheader")).to_have_count(4)
        await expect(table.get_by_role("columnheader")).to_have_count(7)
        await expect(table.get_by_role("row", name="gpt-4o/2").get_by_role("cell")).to_have_count(6)
        await expect(page.get_by_role("table", name="The last requests").get_by_role("row")).to_have_count(51)


async def test_an_update_keeps_focus_scroll_and_elements(browser: Browser) -> None:
    proxy = SampleProxy(large())
    async with sampled(browser, proxy) as watched:
        page = watched.page
        await page.locator("#wanted").fill("model-0")
        await page.locator("#wanted").focus()
        await page.evaluate("scrollTo(0, 900); window.row = document.querySelector('#groups tbody tr')")
        proxy.status["groups"][0]["endpoints"][0]["in_flight"] = 777
        proxy.status["decisions"].insert(0, decision(-1, endpoint="the newest"))
        await page.clock.run_for(2000)
        await expect(page.locator("#groups tbody tr").first).to_contain_text("777")
        await expect(page.locator("#decisions tbody tr").first).to_contain_text("the newest")
        kept = await page.evaluate(
            "[document.activeElement.id, scrollY, window.row === document.querySelector('#groups tbody tr'),"
            " document.getElementById('wanted').value]"
        )

    assert kept == ["wanted", 900, True, "model-0"]


async def test_the_filter_leaves_what_is_asked_for(browser: Browser) -> None:
    async with sampled(browser, SampleProxy(large())) as watched:
        page = watched.page
        await page.get_by_placeholder("Filter by id or model").fill("model-07")
        await expect(page.locator("#groups tbody tr:visible")).to_have_count(10)
        await expect(page.locator("#matches")).to_have_text("10 of 200 endpoints")
        await page.get_by_placeholder("Filter by id or model").fill("")
        await page.get_by_label("Only in trouble").check()
        await expect(page.locator("#groups tbody tr:visible .word", has_text="Ready")).to_have_count(0)
        await expect(page.locator("#groups tbody tr:visible .word", has_text="Cooling")).not_to_have_count(0)


async def test_without_an_answer_it_says_so_and_until_when_the_figures_hold(browser: Browser) -> None:
    proxy = SampleProxy(busy())
    async with sampled(browser, proxy) as watched:
        page = watched.page
        proxy.is_gone = True
        await page.clock.run_for(2000)
        await expect(page.get_by_role("alert").first).to_contain_text("The proxy does not answer")
        await expect(page.locator("#stale")).to_contain_text("What is shown is of 12:03:1")
        await expect(page.locator("#verdict-text")).to_have_text("No answer")
        asked = proxy.asked
        await pass_time(page, 60)
        assert 2 <= proxy.asked - asked <= 6  # less and less often
        proxy.is_gone = False
        await pass_time(page, 31)
        await expect(page.locator("#stale")).to_be_hidden()
        await expect(page.locator("#verdict-text")).to_have_text("All 7 endpoints can serve")


async def test_it_asks_seldom_while_hidden_and_at_once_when_seen_again(browser: Browser) -> None:
    proxy = SampleProxy(empty())
    async with sampled(browser, proxy) as watched:
        page = watched.page
        hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
        change = "document.dispatchEvent(new Event('visibilitychange'))"
        await page.evaluate(hide % "true" + change)
        await page.clock.run_for(2000)  # what was agreed before it was hidden
        await eventually(lambda: proxy.asked == 2)
        await page.clock.run_for(50_000)
        assert proxy.asked == 2
        await page.evaluate(hide % "false" + change)
        await eventually(lambda: proxy.asked == 3)


async def test_it_can_be_paused_by_keyboard(browser: Browser) -> None:
    proxy = SampleProxy(empty())
    async with sampled(browser, proxy) as watched:
        page = watched.page
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Pause", pressed=True)).to_be_focused()
        asked = proxy.asked
        await page.clock.run_for(30_000)
        assert proxy.asked == asked
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Pause", pressed=False)).to_be_focused()


async def test_what_it_has_already_is_not_sent_again(browser: Browser) -> None:
    proxy = SampleProxy(busy())
    async with sampled(browser, proxy) as watched:
        await watched.page.clock.run_for(2000)
        await eventually(lambda: proxy.known == 1)


async def test_a_name_that_looks_like_markup_is_text(browser: Browser) -> None:
    name = "<img src=x onerror=alert(1)>"
    sample = busy()
    sample["groups"][0] |= {"model_group": name}
    sample["groups"][0]["endpoints"][0] |= {"id": name, "why": name, "state": "half-open"}
    sample["decisions"][0] |= {"endpoint": name, "reasons": name, "attempts": 2}
    async with sampled(browser, SampleProxy(sample)) as watched:
        await expect(watched.page.get_by_role("heading", name=name)).to_have_count(1)
        assert await watched.page.locator("img").count() == 0

    assert watched.troubles == []


async def test_nothing_from_elsewhere_runs_in_it(browser: Browser) -> None:
    async with sampled(browser, SampleProxy(busy())) as watched:
        ran = await watched.page.evaluate(
            "async () => { const script = document.createElement('script');"
            " try { script.text = 'window.ran = true' } catch { return 'refused' }"
            " document.body.append(script); return String(window.ran) }"
        )
        reached = await watched.page.evaluate("() => fetch('http://localhost:4001/').then(() => true, () => false)")

    assert (ran, reached) == ("refused", False)


async def test_a_real_proxy_shows_what_happened_and_no_more(
    browser: Browser, start_provider: StartProvider, tmp_path: Path
) -> None:
    good = await start_provider(name="good")
    settings = config([endpoint(good, id="good"), endpoint("http://127.0.0.1:9/v1", id="dead")], num_retries=1)
    async with composed(tmp_path, settings) as proxy, watching(browser) as watched:
        for _ in range(4):
            assert (await proxy.ask("POST", "/v1/chat/completions", JSON, body=CHAT)).status == 200
        await watched.page.goto(f"{proxy.url}/")
        await watched.shows("1 of 2 endpoints can serve")
        row = await watched.text("#groups tbody tr:has-text('dead')")
        decisions = await watched.text("#decisions")
        text = await watched.page.content()

    assert "Cooling" in row and "connect_failed" in row
    assert "dead: connect_failed" in decisions and "good: ok" in decisions
    assert "sk-canary" not in text and "secret question" not in text
    assert watched.troubles == []


async def test_a_key_opens_it_and_stays_nowhere(browser: Browser, tmp_path: Path) -> None:
    settings = config([endpoint("http://127.0.0.1:9/v1")], api_keys=["proxy-key"])
    async with composed(tmp_path, settings) as proxy, watching(browser) as watched:
        page = watched.page
        await page.goto(f"{proxy.url}/status")
        await expect(page.get_by_label("API key")).to_be_focused()
        await expect(page.locator("#main")).to_be_hidden()
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await watched.shows("That is none of its keys.")
        await page.get_by_label("API key").fill("proxy-key")
        await page.keyboard.press("Enter")
        await watched.shows("The endpoint can serve")
        await expect(page.locator("#key-form")).to_be_hidden()
        kept = await page.evaluate(
            "[document.documentElement.outerHTML, {...localStorage}, {...sessionStorage}, document.cookie,"
            " location.href, document.getElementById('key').value]"
        )

    assert "proxy-key" not in str(kept)
