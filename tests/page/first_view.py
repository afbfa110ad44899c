"""How long the first view takes in a browser, images and all: `python -m tests.page.first_view ADDRESS [TIMES]`."""

import sys
from statistics import median

from playwright.sync_api import sync_playwright

from tests.browser import CHROMIUM

_COMPLETE = (
    "() => [...document.images].filter(it => it.getBoundingClientRect().top < innerHeight).every(it => it.complete)"
)
"""The images that one sees are there; those further down are not asked for yet."""


def measured(address: str, times: int) -> list[float]:
    """Milliseconds of each first view, each in a browser without anything kept."""
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for _ in range(times):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            page.goto(address, wait_until="load")
            page.wait_for_function(_COMPLETE)
            found.append(float(page.evaluate("() => performance.now()")))
            context.close()
        browser.close()
    return found


if __name__ == "__main__":
    taken = measured(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5)
    print(f"n {len(taken)}, median {median(taken):.0f} ms, from {min(taken):.0f} to {max(taken):.0f} ms")
