"""What is half built is kept while its person is away."""

from __future__ import annotations

from playwright.sync_api import expect

from reelyard.domain.access import Role

from .site import Site
from .window import OpenWindow


def test_a_half_built_compilation_is_still_there(site: Site, open_window: OpenWindow) -> None:
    """After a reload, in a second tab, and after the connection was lost; both tabs show the same."""
    site.person("wim", Role.OPERATOR)
    window = open_window("wim")
    page = window.go("/")
    for name in ("intro.mp4", "sky.mp4"):
        page.get_by_role("button", name=f"Add {name}").click()
    page.get_by_label("Channel").fill("Half built")
    expect(window.hook("status")).to_have_text("Ready")
    page.reload()
    other = window.context.new_page()
    other.goto(page.url)
    for tab in (page, other):
        expect(tab.locator(".ry-row-name")).to_have_text(["intro.mp4", "sky.mp4"])
        expect(tab.get_by_label("Channel")).to_have_value("Half built")
    other.get_by_role("listitem").nth(0).focus()
    other.keyboard.press("Alt+ArrowDown")
    expect(page.locator(".ry-row-name")).to_have_text(["sky.mp4", "intro.mp4"])
    assert window.faults == []


def test_a_lost_connection_comes_back(site: Site, open_window: OpenWindow) -> None:
    """A page that was cut off shows what happened meanwhile, and its buttons work again."""
    site.person("yan", Role.OPERATOR)
    window, tab = open_window("yan"), open_window("yan")
    page, other = window.go("/"), tab.go("/")
    window.expected = ("ERR_INTERNET_DISCONNECTED", "Failed to load resource", "WebSocket")
    window.context.set_offline(True)
    page.evaluate("window.socket.io.engine.close()")
    other.get_by_role("button", name="Add intro.mp4").click()
    expect(tab.hook("row")).to_have_count(1)
    window.context.set_offline(False)
    expect(window.hook("row")).to_have_count(1, timeout=30_000)
    page.get_by_role("button", name="Add sky.mp4").click()
    expect(tab.hook("row")).to_have_count(2)
    assert window.faults == []
