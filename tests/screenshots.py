"""`python -m tests.screenshots`: the committed pages as README shows them, in results/screenshots."""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

RESULTS = Path(__file__).parent.parent / "results"
DESKTOP, PHONE = {"width": 1100, "height": 900}, {"width": 390, "height": 844}
SHOTS = {
    "report": ("report.html", {"viewport": DESKTOP}),
    "report_phone": ("report.html", {"viewport": PHONE}),
    "viewer": ("viewer.html", {"viewport": DESKTOP}),
    "viewer_phone": ("viewer.html", {"viewport": PHONE}),
    "viewer_dark": ("viewer.html", {"viewport": DESKTOP, "color_scheme": "dark"}),
}


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("no Chromium: `apt-get install chromium`, or name one in CHROMIUM")
    (RESULTS / "screenshots").mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, (page_name, options) in SHOTS.items():
            page = browser.new_page(**options)
            page.goto((RESULTS / page_name).as_uri())
            if page_name == "viewer.html":
                page.select_option("select[name=problem]", "0")
                page.locator(".policy .token").nth(12).hover()
            page.screenshot(path=RESULTS / "screenshots" / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
