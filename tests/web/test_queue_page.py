"""The queue's page puts jobs in order, with the mouse and with the keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from reelyard.domain.access import Role

from .hands import drag
from .site import QUEUE, Api, Site, wait_for
from .window import OpenWindow, Window


@pytest.fixture
def manager(site: Site, ada: Api) -> Iterator[str]:
    """A manager's name. Whatever waits after the test is cancelled, and the queue let go."""
    site.person("nora", Role.MANAGER)
    yield "nora"
    ada.hold(False)


def make_token(window: Window) -> str:
    """A token that may submit, made in the account's page."""
    page = window.go("/account")
    window.hook("token-name").fill("robot")
    page.get_by_label("It may").click()
    page.get_by_role("option", name="write").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Make a token").click()
    secret = page.get_by_label("Secret").input_value()
    page.get_by_role("button", name="I have it").click()
    expect(window.hook("token-row")).to_contain_text("robot")
    return secret


def names(page: Page) -> list[str]:
    """The channels of the jobs that wait, as the page has them in order."""
    return page.get_by_test_id("waiting").get_by_test_id("job-link").all_inner_texts()


def test_jobs_are_put_in_order(site: Site, ada: Api, manager: str, open_window: OpenWindow) -> None:
    """Paused, dragged, moved by keys, given a priority, cancelled, queued again."""
    window = open_window(manager)
    robot = Api(site.url, {"Authorization": f"Bearer {make_token(window)}"})
    page = window.go("/queue")
    page.get_by_role("button", name=f"Pause {QUEUE}").click()
    expect(page.get_by_role("button", name=f"Resume {QUEUE}")).to_be_visible()

    clip = {"item_type": "intro", "path": str(site.media / "intro.mp4")}
    first, second, third = (robot.submit(channel, clip) for channel in ("One", "Two", "Three"))
    grips = page.get_by_test_id("waiting").get_by_test_id("drag-handle")
    expect(grips).to_have_count(3)
    drag(page, grips.nth(2), window.hook("job-row").nth(0))
    wait_for(lambda: ada.waiting() == [third, first, second], "the dragged job to be the first")
    expect(page.get_by_test_id("waiting").get_by_test_id("job-link")).to_have_text(
        ["Three", "One", "Two"]
    )

    page.get_by_role("button", name="Move One").focus()
    page.keyboard.press("ArrowUp")
    wait_for(lambda: ada.waiting() == [first, third, second], "a job moved by a key")
    expect(page.get_by_role("button", name="Move One")).to_be_focused()

    page.get_by_role("button", name="More for Two").focus()
    page.keyboard.press("Enter")
    window.hook("priority").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Priority").focus()
    page.keyboard.press("Enter")
    page.get_by_role("option", name="9, first").wait_for()
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Set").press("Enter")
    wait_for(lambda: ada.waiting() == [second, first, third], "the priority to count")
    assert ada.get(f"/jobs/{second}")["priority"] == 9

    page.get_by_role("button", name="Cancel One").click()
    page.get_by_role("button", name="Cancel the job").click()
    ended = window.hook("ended-row").filter(has=page.get_by_role("link", name="One"))
    ended.get_by_role("button", name="Queue again").click()
    wait_for(lambda: ada.waiting() == [second, third, first], "the job to be queued again")
    expect(page.get_by_test_id("waiting").get_by_test_id("job-link")).to_have_text(
        ["Two", "Three", "One"]
    )
    for channel in ("One", "Two", "Three"):
        page.get_by_role("button", name=f"Cancel {channel}").click()
        page.get_by_role("button", name="Cancel the job").click()
        expect(page.get_by_role("button", name=f"Cancel {channel}")).to_have_count(0)
    page.get_by_role("button", name=f"Resume {QUEUE}").click()
    expect(page.get_by_role("button", name=f"Pause {QUEUE}")).to_be_visible()
    assert names(page) == [] and ada.waiting() == []
    assert window.faults == []
