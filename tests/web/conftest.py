"""Fixtures: Chromium and a farm, each once per session; clips; windows of people."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from reelyard.api.identity import SESSION_COOKIE
from reelyard.domain.access import Role
from tests.conftest import Clips
from tests.supabase_auth import PUBLISHABLE, SupabaseAuth

from .site import Api, Site, wait_for
from .window import DESK, OpenWindow, Window

_REAL = {"park.mp4": "video/1080p30-park.mp4", "sky.mp4": "video/1080p30-sky-timelapse.mp4"}
HURTS = "window.hurt=1"
HOSTILE_NAME = f"<img src=x onerror={HURTS}>'\"&amp; \u202egpj.exe\u202c\\ {{x}} {'w' * 90}.mp4"
HOSTILE_TEXT = f"</div><script>{HURTS}</script>\"'<img src=x onerror={HURTS}> &lt;b&gt;"
HOSTILE_CHANNEL = (
    f"<script>{HURTS}</script>\"'><svg onload={HURTS}> \u05e9\u05dc\u05d5\u05dd {'W' * 110}"
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. It has no sandbox where the tests run as root."""
    program = shutil.which("chromium") or _missing()
    expect.set_options(timeout=20_000)  # a machine that is busy with other tests is slow
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        with closing(browser):
            yield browser


def _missing() -> NoReturn:
    """Skip where there is no browser; in CI no test may go missing."""
    message = "chromium is not here; `make servers` installs Debian's"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def media(clips: Clips, real_media: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips: real ones where there are any, and some that are made."""
    folder = tmp_path_factory.mktemp("media")
    for name, real in _REAL.items():
        shutil.copy(
            real_media / real if real_media else clips.video(name, seconds=4), folder / name
        )
    shutil.copy(clips.video("intro.mp4", seconds=2), folder / "intro.mp4")
    shutil.copy(clips.video("long.mp4", seconds=40), folder / "long.mp4")
    shutil.copy(clips.video("second.mp4", seconds=1), folder / HOSTILE_NAME)
    shutil.copy(clips.picture("logo.png", size="160x90"), folder / "logo.png")
    return folder


@pytest.fixture(scope="session")
def supabase() -> Iterator[SupabaseAuth]:
    """The project whose users may sign in beside those who have accounts."""
    with SupabaseAuth().open() as auth:
        yield auth


@pytest.fixture(scope="session")
def site(
    media: Path, supabase: SupabaseAuth, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The farm that all tests of the pages share, with one worker that goes on working."""
    settings = {"REELYARD_SUPABASE_URL": supabase.url, "REELYARD_SUPABASE_KEY": PUBLISHABLE}
    with closing(Site(tmp_path_factory.mktemp("site"), media, settings)) as made:
        made.open()
        yield made


@pytest.fixture(scope="session")
def ada(site: Site) -> Api:
    """The API as the admin has it."""
    return site.of("ada")


@pytest.fixture(scope="session")
def hostile_film(site: Site, ada: Api) -> str:
    """The id of a job that is done, every name and text of which is an attack."""
    clip = {"item_type": "video", "path": str(site.media / HOSTILE_NAME)}
    item = clip | {"text_animation_text": HOSTILE_TEXT, "logo_path": str(site.media / "logo.png")}
    job_id = ada.submit(HOSTILE_CHANNEL, item)
    wait_for(lambda: ada.status(job_id) not in ("queued", "processing"), "a film of one second")
    assert ada.status(job_id) == "completed"
    return job_id


@pytest.fixture(scope="module")
def held_queue(ada: Api) -> Iterator[None]:
    """Nobody takes jobs from the queue; afterwards none waits in it any more."""
    ada.hold(True)
    yield
    ada.hold(False)


@pytest.fixture
def open_window(chromium: Browser, site: Site) -> Iterator[OpenWindow]:
    """Open windows, of who is named signed in; they are closed after the test."""
    with ExitStack() as opened:

        def open_(who: str = "", **look: Any) -> Window:
            context = chromium.new_context(**{**DESK, **look})
            opened.enter_context(closing(context))
            if who:
                _sign_in(context, site, who)
            return Window(context, site.url)

        yield open_


def _sign_in(context: BrowserContext, site: Site, who: str) -> None:
    context.add_cookies([
        {"name": SESSION_COOKIE, "value": site.session(who), "url": site.url, "httpOnly": True}
    ])  # fmt: skip


@pytest.fixture(scope="session")
def operator(site: Site) -> Api:
    """The API as an operator called olga has it."""
    return site.person("olga", Role.OPERATOR)


@pytest.fixture(autouse=True)
def no_complaints(chromium: Browser, site: Site) -> Iterator[None]:
    """The farm's programs meet no error of their own while a test looks at the pages."""
    before = len(site.log.read_text(errors="replace"))
    yield
    assert site.complaints(before) == ""
