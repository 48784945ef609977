"""Draws the picture of docs/dashboard.md: `python docs/dashboard.py ADDRESS`.

ADDRESS is what `clickstream demo --dashboard` prints; wait until it shows an alert. Needs Debian's
chromium and requirements-browser.txt.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZE = {"width": 1280, "height": 860}
WAIT_MS = 120_000


def draw(address: str, target: Path) -> None:
    """A picture of the whole page as a light browser shows it, once an alert is on it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        page.wait_for_selector("#alerts li.open", timeout=WAIT_MS)
        page.screenshot(path=target, full_page=True)
        browser.close()


if __name__ == "__main__":
    draw(sys.argv[1], Path(__file__).with_name("dashboard.png"))
