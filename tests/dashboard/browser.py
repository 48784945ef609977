"""A real browser: fixtures to import."""

import os
import shutil

import pytest

VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error("policy", event.violatedDirective, event.blockedURI));
"""


@pytest.fixture(scope="module")
def chromium():
    binary = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        binary = None
    if binary is None:
        reason = "no browser: install Debian's chromium, and requirements-browser.txt by pip"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=binary, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens pages; each console line, error, dialog or request elsewhere fails the test."""
    complaints, contexts = [], []

    def open_page(address, expected=(), **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        origin = address.split("/?")[0]

        def complain(text):
            if not any(each in text for each in expected):
                complaints.append(text)

        page.on("console", lambda message: complain(message.text))
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("dialog", lambda dialog: complain(dialog.message))
        page.on(
            "request",
            lambda request: request.url.startswith((origin, "data:")) or complain(request.url),
        )
        page.add_init_script(VIOLATIONS)
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def shown(page, selector):
    return page.locator(selector).all_inner_texts()
