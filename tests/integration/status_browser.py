"""Chromium with the status page open: shown by a real proxy, or over samples of what a proxy says."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Playwright, Request, Route, async_playwright

from adapters.http.status_page.document import status_document
from tests.status_samples import NOW

ORIGIN = "http://localhost:4000"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def program(playwright: Playwright) -> str:
    """Debian's Chromium, or the one that playwright has installed."""
    found = next(filter(None, map(shutil.which, _NAMES)), playwright.chromium.executable_path)
    if not Path(found).exists():
        pytest.fail(
            "The status page is tested in Chromium, and there is none: 'apt-get install chromium', or "
            "'.venv/bin/playwright install --with-deps chromium'."
        )
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program(playwright))
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """A page, what went wrong in it, and what it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.troubles: list[str] = []
        self.asked: list[Request] = []
        page.on("console", lambda message: self.troubles.append(message.text))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("request", lambda request: self.asked.append(request))  # noqa: PLW0108 # it takes no method of a list

    async def text(self, selector: str) -> str:
        return " ".join((await self.page.locator(selector).inner_text()).split())

    async def shows(self, text: str) -> None:
        """Wait until it does."""
        await self.page.get_by_text(text).first.wait_for()


@asynccontextmanager
async def watching(browser: Browser, **options: Any) -> AsyncIterator[Watched]:
    context = await browser.new_context(timezone_id="UTC", locale="en-GB", **options)
    context.set_default_timeout(20_000)
    try:
        yield Watched(await context.new_page())
    finally:
        await context.close()


class SampleProxy:
    """Answers in a proxy's place, by what it is told to say."""

    def __init__(self, status: Any) -> None:
        self.status = status
        self.code = 200
        self.is_gone = False
        self.asked = 0
        self.known = 0
        """How often the page had the newest already."""

    async def answer(self, route: Route) -> None:
        headers = await route.request.all_headers()
        if "application/json" not in headers.get("accept", ""):
            document = status_document()
            told = {**dict(document.headers), "content-type": "text/html; charset=utf-8"}
            await route.fulfill(status=200, headers=told, body=document.html)
            return
        self.asked += 1
        if self.is_gone:
            await route.abort()
            return
        body = json.dumps(self.status)
        tag = f'"{hash(body):x}"'
        is_known = self.code == 200 and headers.get("if-none-match") == tag
        self.known += is_known
        told = {"etag": tag, "content-type": "application/json"}
        code = 304 if is_known else self.code
        await route.fulfill(status=code, headers=told, body="" if is_known else body)


@asynccontextmanager
async def sampled(browser: Browser, proxy: SampleProxy, path: str = "/", **options: Any) -> AsyncIterator[Watched]:
    """The page over a sample, with a clock that only the test moves: `page.clock.run_for(ms)`."""
    async with watching(browser, **options) as watched:
        page = watched.page
        await page.clock.install(time=NOW)
        await page.clock.pause_at(NOW + 1)
        await page.route("**/*", proxy.answer)
        await page.goto(ORIGIN + path)
        await page.locator("#main:not([hidden])").wait_for()
        yield watched
