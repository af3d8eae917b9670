"""A draft of some items, chosen with the keyboard, submitted, and never taken for its film."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from reelyard.domain.access import Role

from .site import Site
from .window import OpenWindow

SAID = "draft of 1 s of each item, items from 2"


def test_a_draft_of_some_items_is_chosen_made_and_told_apart(
    site: Site, open_window: OpenWindow
) -> None:
    """Its list stays, to be submitted as the film."""
    site.person("dora", Role.OPERATOR)
    window = open_window("dora")
    page = window.go("/")
    for name in ("intro.mp4", "sky.mp4"):
        page.get_by_role("button", name=f"Add {name}").click()
    page.get_by_label("Channel").fill("Looked at")
    choice = page.get_by_test_id("excerpt")
    expect(choice).to_contain_text("Whole film")
    choice.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Seconds of each clip")).to_be_disabled()
    dialog.get_by_role("switch").focus()
    page.keyboard.press("Space")
    seconds = dialog.get_by_label("Seconds of each clip")
    expect(seconds).to_be_enabled()
    seconds.press("1")
    dialog.get_by_label("From item").press("2")
    expect(choice).to_contain_text("Draft of 1 s of each item, items from 2")
    assert window.nameless() == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(window.hook("total-items")).to_have_text("1 of 2")
    expect(window.hook("total-length")).to_have_text("0:01")
    expect(window.hook("status")).to_have_text("Ready")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/jobs/"))
    expect(window.hook("job-excerpt")).to_have_text(SAID)
    expect(window.hook("item-row")).to_have_count(1)
    expect(window.hook("job-status")).to_have_text("Completed", timeout=90_000)
    window.go("/history")
    row = window.hook("history-row").filter(has_text="Looked at")
    expect(row).to_contain_text(SAID)
    window.go("/")
    expect(window.hook("row")).to_have_count(2)
    expect(choice).to_contain_text("Whole film")
    assert window.faults == []
