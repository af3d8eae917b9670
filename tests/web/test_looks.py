"""Every page on a desk and on a phone: it fits, stands still, has names, and asks nobody else."""

from __future__ import annotations

import pytest

from reelyard.domain.access import Role

from .site import Api, Site
from .window import DESK, PHONE, Look, OpenWindow

PAGES = (
    "/", "/queue", "/jobs/{film}", "/jobs/{waits}", "/jobs/{cancelled}", "/history", "/history?tab=figures",
    "/history?text=nowhere", "/workers", "/admin", "/admin?tab=tokens", "/admin?tab=webhooks",
    "/admin?tab=settings", "/admin?tab=audit", "/account",
)  # fmt: skip


@pytest.fixture(scope="module")
def jobs(site: Site, ada: Api, hostile_film: str, held_queue: None) -> dict[str, str]:
    """Jobs to be looked at: one that is done, one that waits, one that was cancelled."""
    clip = {"item_type": "intro", "path": str(site.media / "intro.mp4")}
    waits, cancelled = ada.submit("Later", clip), ada.submit("Never", clip, clip)
    ada.post(f"/jobs/{cancelled}/cancel")
    ada.post("/tokens", {"name": "robot", "scopes": ["read"], "days": 30})
    return {"film": hostile_film, "waits": waits, "cancelled": cancelled}


@pytest.mark.parametrize("look", [DESK, PHONE], ids=["light on a desk", "dark on a phone"])
def test_pages_fit_stand_still_and_have_names(
    look: Look, jobs: dict[str, str], open_window: OpenWindow
) -> None:
    """No page is wider than its window, jumps, logs an error, or has a control without a name."""
    window = open_window("ada", **look)
    wrong: list[str] = []
    for template in PAGES:
        path = template.format(**jobs)
        window.go(path)
        if window.overflow():
            wrong.append(f"{path} is {window.overflow()} pixels too wide")
        if window.shift() >= 0.1:
            wrong.append(f"{path} shifts by {window.shift():.3f}")
        wrong += [f"{path} has no name for {one}" for one in window.nameless()]
    assert wrong == []
    assert window.faults == []


def test_sign_in_fits_and_asks_nobody_else(open_window: OpenWindow) -> None:
    """The page that everybody can reach."""
    window = open_window(**PHONE)
    window.go("/sign-in")
    assert (window.overflow(), window.nameless(), window.faults) == (0, [], [])
    assert window.shift() < 0.1


def test_a_phone_reaches_every_page(site: Site, open_window: OpenWindow) -> None:
    """The menu leads to the other pages."""
    site.person("pia", Role.OPERATOR)
    window = open_window("pia", **PHONE)
    page = window.go("/")
    for name in ("Queue", "History", "Workers", "New compilation"):
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("listitem").filter(has_text=name).click()
        page.get_by_role("heading", name=name, level=1).wait_for()
    assert window.faults == []
