"""What the pages show to whom."""

from __future__ import annotations

import re

from playwright.sync_api import Page, TimeoutError, expect

from reelyard.domain.access import Role

from .conftest import HOSTILE_CHANNEL
from .site import PASSWORD, QUEUE, Api, Site
from .window import OpenWindow, settle

OPERATORS_PAGES = ("/", "/queue", "/history", "/history?tab=figures", "/workers", "/account")


def test_operators_see_their_own_jobs_only(
    site: Site,
    ada: Api,
    held_queue: None,
    operator: Api,
    hostile_film: str,
    open_window: OpenWindow,
) -> None:
    """Somebody else's jobs are nowhere, and the address of one says that it is not there: 404."""
    clip = {"item_type": "intro", "path": str(site.media / "intro.mp4")}
    waits = ada.submit("Board secrets", clip)
    operator.submit("Olga's reel", clip)
    window = open_window("olga")
    shown = {path: window.go(path).content() for path in OPERATORS_PAGES}
    expect(window.go("/queue").get_by_role("link", name="Olga's reel")).to_be_visible()
    assert not [path for path, html in shown.items() if "Board secrets" in html or waits in html]
    assert not [path for path, html in shown.items() if hostile_film in html]
    assert not [path for path, html in shown.items() if "Administration" in html]

    window.expected = ("404", "403")
    for foreign in (waits, hostile_film):
        answer = window.page.goto(f"{site.url}/jobs/{foreign}")
        assert answer is not None and answer.status == 404
        expect(window.page.get_by_text("There is no such job here")).to_be_visible()
        assert HOSTILE_CHANNEL[:30] not in window.page.content()
    page = window.go("/admin")
    expect(page.get_by_role("alert")).to_contain_text("An operator can't")
    assert page.get_by_role("tab").count() == 0
    assert window.faults == []


CLICKS = {
    "/": "Library",
    "/queue": f"Resume {QUEUE}",
    "/workers": "Pause",
    "/history": "Figures",
    "/account": "Make a token",
}


def test_who_was_signed_out_elsewhere_is_led_to_sign_in(
    site: Site, ada: Api, held_queue: None, open_window: OpenWindow
) -> None:
    """The next click after an admin has changed the password leads there, and to no error."""
    site.person("gus", Role.MANAGER)
    window = open_window("gus")
    tabs = {path: window.context.new_page() for path in CLICKS}
    for path, tab in tabs.items():
        tab.goto(site.url + path)
        settle(tab)
    known = {one["username"]: one["user_id"] for one in ada.get("/users")}
    ada.call("PATCH", f"/users/{known['gus']}", {"password": PASSWORD + " anew"})
    stayed = [path for path, tab in tabs.items() if not is_led_away(tab, CLICKS[path])]
    assert stayed == []
    assert window.faults == []


def is_led_away(page: Page, click: str) -> bool:
    """Whether a click on what is called so leads to the page where one signs in."""
    tab, button = (page.get_by_role(role, name=click, exact=True) for role in ("tab", "button"))
    tab.or_(button).first.click()
    try:
        page.wait_for_url(re.compile(r"/sign-in\?to="), timeout=10_000)
    except TimeoutError:
        return False
    return page.get_by_role("button", name="Sign in").is_visible()
