"""Names and texts are shown as what they are, whatever they are."""

from __future__ import annotations

from playwright.sync_api import expect

from reelyard.domain.access import Role
from reelyard.domain.errors import printable

from .conftest import HOSTILE_CHANNEL, HOSTILE_NAME, HOSTILE_TEXT
from .site import Api, Site
from .window import OpenWindow


def test_hostile_texts_are_texts(
    site: Site, ada: Api, hostile_film: str, open_window: OpenWindow
) -> None:
    """Channels, files, texts, templates, tokens: shown letter by letter, and nothing of them runs."""
    template = {"name": HOSTILE_TEXT, "channel_name": HOSTILE_CHANNEL, "text": HOSTILE_TEXT}
    ada.post("/templates", template)
    ada.post("/tokens", {"name": HOSTILE_CHANNEL[:60], "scopes": ["read"], "days": 30})
    window = open_window("ada")
    for path in ("/queue", "/history", "/history?tab=figures", f"/jobs/{hostile_film}",
                 "/admin?tab=tokens", "/admin?tab=audit"):  # fmt: skip
        page = window.go(path)
        assert HOSTILE_CHANNEL[:40] in page.locator("body").inner_text(), path
        assert not window.is_hurt(), path
    page = window.go(f"/jobs/{hostile_film}")
    assert HOSTILE_NAME[:20] in page.locator("body").inner_text()
    assert window.overflow() == 0
    assert window.faults == []


def test_hostile_texts_in_a_new_compilation(
    site: Site, hostile_film: str, open_window: OpenWindow
) -> None:
    """They are found, added, shown beside the row, searched for, and kept through a reload."""
    site.person("rosa", Role.MANAGER)
    window = open_window("rosa")
    page = window.go(f"/?like={hostile_film}")
    row = window.hook("row")
    expect(row.locator(".ry-row-name")).to_have_text(printable(HOSTILE_NAME))
    expect(row).to_contain_text(HOSTILE_TEXT)
    expect(page.get_by_label("Channel")).to_have_value(HOSTILE_CHANNEL)
    page.get_by_label("Search clips").fill("onerror")
    expect(window.hook("clip-add")).to_have_count(1)
    window.hook("clip-add").click()
    expect(row).to_have_count(2)
    page.get_by_role("button", name="Templates").click()
    expect(window.hook("template")).to_contain_text(HOSTILE_TEXT)
    page.reload()
    expect(row).to_have_count(2)
    assert not window.is_hurt() and window.overflow() == 0
    page.set_viewport_size({"width": 390, "height": 844})
    assert window.overflow() == 0
    assert window.faults == []
