"""The whole way of a film through the pages, as its people go it."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from reelyard.domain.access import Role

from .hands import drag
from .site import PASSWORD, Api, Site, wait_for
from .window import OpenWindow, Window

# The job's page, watched from within. A page that is loaded again has seen nothing.
_SAMPLE = """
window.seen = [];
window.setInterval(() => {
  const shown = document.querySelector('[data-testid=job-percent]');
  if (shown && shown.textContent) window.seen.push(parseInt(shown.textContent));
}, 50);
"""
_PLAYS = "(video) => { video.muted = true; return video.play(); }"
_SEEKS = """(video, at) => new Promise((done) => {
  video.addEventListener('seeked', () => done(video.currentTime), {once: true});
  video.currentTime = at;
})"""


def rows(page: Page) -> list[str]:
    return page.locator("[data-testid=row] .ry-row-name").all_inner_texts()


def plays(page: Page, video: Locator) -> None:
    """The film plays: its time goes on."""
    video.scroll_into_view_if_needed()
    video.evaluate(_PLAYS)
    page.wait_for_function("(video) => video.readyState >= 2 && video.currentTime > 0.2",
                           arg=video.element_handle())  # fmt: skip


def sign_in(window: Window, name: str) -> None:
    """Through the page, with a wrong password first."""
    page = window.go("/")
    for password in ("wrong pebbles", PASSWORD):
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        if password != PASSWORD:
            expect(page.get_by_role("alert")).to_have_text(
                "That name and password don't go together."
            )
    expect(page.get_by_role("heading", name="New compilation")).to_be_visible()


def test_from_clips_to_a_film_in_the_history(site: Site, open_window: OpenWindow) -> None:
    """Sign in, add clips, put them in order, look at a draft, submit, watch, play, find it again."""
    site.command("user", "add", "mara", "--role", "operator", "--password-stdin")
    window = open_window()
    window.context.add_init_script(_SAMPLE)
    sign_in(window, "mara")
    page = window.page

    for name in ("park.mp4", "sky.mp4", "intro.mp4"):
        page.get_by_role("button", name=f"Add {name}").click()
    expect(window.hook("row")).to_have_count(3)
    page.get_by_label("Channel").fill("Morning reel")
    expect(window.hook("status")).to_have_text("Ready")
    drag(page, window.hook("row-handle").nth(2), window.hook("row").nth(0))
    expect(page.locator(".ry-row-name").nth(0)).to_have_text("intro.mp4")
    assert rows(page) == ["intro.mp4", "park.mp4", "sky.mp4"]
    style(page, "park.mp4", "2", "Good morning")
    style(page, "sky.mp4", "1.5", "")
    expect(window.hook("total-length")).to_have_text("0:06")
    expect(window.hook("total-items")).to_have_text("3")
    expect(window.hook("status")).to_have_text("Ready")

    page.get_by_role("button", name="Draft", exact=True).click()
    draft = page.locator("video")
    expect(draft).to_be_visible(timeout=60_000)
    plays(page, draft)

    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/jobs/"))
    job_id = page.url.rpartition("/")[2]
    mara = site.of("mara")
    document = mara.get(f"/jobs/{job_id}/document")
    order = [item["path"].rpartition("/")[2] for item in document["items"]]
    assert order == ["intro.mp4", "park.mp4", "sky.mp4"]
    park = document["items"][1]
    assert (park["end"], park["text_animation_text"]) == (2, "Good morning")
    assert park["logo_path"].endswith("logo.png")

    expect(window.hook("job-status")).to_have_text("Completed", timeout=90_000)
    seen = page.evaluate("window.seen")
    assert seen == sorted(seen) and len(set(seen)) >= 3
    film = window.hook("film-video")
    page.wait_for_function("(video) => video.readyState >= 1", arg=film.element_handle())
    assert abs(film.evaluate("(video) => video.duration") - 5.5) < 0.1
    plays(page, film)
    assert abs(film.evaluate(_SEEKS, 4) - 4) < 0.5
    assert film.evaluate("(video) => video.error") is None

    window.go("/history")
    page.get_by_label("Search").fill("morning")
    expect(window.hook("history-row")).to_have_count(1)
    window.hook("history-row").click()
    page.wait_for_url(f"**/jobs/{job_id}")
    assert window.faults == []


def style(page: Page, name: str, end: str, text: str) -> None:
    """Open a row, and say where it ends, and with a text also which logo it has."""
    row = page.get_by_test_id("row").filter(has_text=name)
    row.get_by_role("button", name=name).click()
    row.get_by_label("End").fill(end)
    if text:
        row.get_by_label("Text that appears").fill(text)
        row.get_by_role("button", name="Choose a logo").click()
        page.get_by_role("dialog").get_by_role("button", name="Add logo.png").click()
        expect(row.get_by_label("Logo", exact=True)).to_have_value(re.compile(r"logo\.png$"))
    row.get_by_role("button", name=name).click()


def test_a_running_job_is_cancelled_and_its_worker_drained(
    site: Site, ada: Api, open_window: OpenWindow
) -> None:
    """A drained worker takes its job to its end, here a cancelled one, and its process ends."""
    host = ada.get("/workers")[0]["worker_id"].partition("@")[2]
    order = {"order": "pause"}
    ada.call("PUT", f"/workers/pc1@{host}/order", order)
    second = site.start("worker", "--name", "pc2", log=site.folder / "pc2.log")
    site.person("max", Role.MANAGER)
    window = open_window("max")
    page = window.go("/")
    page.get_by_role("button", name="Add long.mp4").click()
    page.get_by_label("Channel").fill("Too long")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/jobs/"))
    job_id = page.url.rpartition("/")[2]
    expect(window.hook("job-status")).to_have_text("Processing", timeout=60_000)

    window.go("/workers")
    card = window.hook("worker-card").filter(has=page.get_by_role("heading", name="pc2"))
    expect(card.get_by_test_id("worker-state")).to_have_text("Busy")
    card.get_by_role("button", name="Drain").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    expect(card.get_by_test_id("worker-state")).to_have_text("Draining")
    assert second.poll() is None, "it finishes its job first"

    window.go("/queue")
    row = page.locator(f"[data-job='{job_id}']").filter(has=page.get_by_role("progressbar"))
    row.get_by_role("button", name="Cancel Too long").click()
    page.get_by_role("button", name="Cancel the job").click()
    wait_for(lambda: ada.status(job_id) == "cancelled", "the job to be cancelled")
    expect(window.hook("ended-row").filter(has_text="Too long")).to_contain_text("Cancelled")
    assert second.wait(30) == 0
    ada.call("PUT", f"/workers/pc1@{host}/order", {"order": "work"})
    assert window.faults == []
