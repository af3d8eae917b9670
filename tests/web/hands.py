"""What hands do on pages."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

_TRIES = 40


def drag(page: Page, grip: Locator, to: Locator) -> None:
    """Take something by its grip, hold it over the upper part of something else until that makes
    way, and let it go."""
    grip.scroll_into_view_if_needed()
    begin, place = grip.bounding_box(), to.element_handle()
    end = place.bounding_box()
    assert begin is not None and end is not None
    across, down = begin["x"] + begin["width"] / 2, begin["y"] + begin["height"] / 2
    page.mouse.move(across, down)
    page.mouse.down()
    page.mouse.move(across, down - 12, steps=4)
    for n in range(_TRIES):
        page.mouse.move(across, end["y"] + 4 + n % 2, steps=8)
        now = place.bounding_box()
        if now is not None and now["y"] > end["y"] + 8:
            break
        page.wait_for_timeout(50)
    page.mouse.up()
