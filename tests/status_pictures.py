"""`python -m tests.status_pictures [FOLDER]`: pictures of the status page over its samples, for docs/images."""

import asyncio
import sys
from pathlib import Path

from tests.integration.status_browser import SampleProxy, chromium, sampled
from tests.palette import with_palette
from tests.status_samples import SAMPLES

WIDE, HIGH, NARROW = (1280, 900), (1280, 1500), (360, 780)
PICTURES = {
    "status-empty": ("empty", WIDE, "light"),
    "status-busy": ("busy", HIGH, "light"),
    "status-failing": ("failing", WIDE, "dark"),
    "status-200-endpoints": ("large", WIDE, "light"),
    "status-narrow": ("failing", NARROW, "light"),
    "status-narrow-dark": ("busy", NARROW, "dark"),
}


async def main(folder: Path) -> None:
    """Take them all."""
    async with chromium() as browser:
        for name, (sample, (width, height), scheme) in PICTURES.items():
            size = {"width": width, "height": height}
            async with sampled(browser, SampleProxy(SAMPLES[sample]()), viewport=size, color_scheme=scheme) as watched:
                await watched.page.clock.run_for(1000)
                taken = await watched.page.screenshot(animations="disabled")
                (folder / f"{name}.png").write_bytes(with_palette(taken))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")))
