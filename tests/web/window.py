"""A browser's window that writes down whatever goes wrong in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page
from playwright.sync_api import Request as Asked
from playwright.sync_api import Response as Answered

# Before anything of the page: how much it moves by itself, and whether hostile text ran.
_WATCH = """
window.ryShift = 0;
window.hurt = 0;
window.ryChanged = performance.now();
new MutationObserver(() => { window.ryChanged = performance.now(); })
  .observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.ryShift += one.value;
}).observe({type: 'layout-shift', buffered: true});
"""
_QUIET = """() => document.readyState === 'complete' && window.socket?.connected
  && performance.now() - window.ryChanged > 300"""
_NAMELESS = """() => {
  const isSeen = (one) => one.checkVisibility({visibilityProperty: true}) && !one.closest('[aria-hidden=true]');
  const textOf = (ids) => ids.split(/\\s+/).map((id) => document.getElementById(id)?.textContent ?? '').join('');
  const own = (one) => {  // icons are words of a font, and no names
    const copy = one.cloneNode(true);
    copy.querySelectorAll('.material-icons, [aria-hidden=true]').forEach((icon) => icon.remove());
    return copy.textContent + [...copy.querySelectorAll('img')].map((image) => image.alt).join('');
  };
  const name = (one) => [
    one.getAttribute('aria-label'), textOf(one.getAttribute('aria-labelledby') ?? ''), one.title,
    [...(one.labels ?? [])].map(own).join(''),
    one.matches('input, select, textarea') ? (one.type === 'submit' ? one.value : '') : own(one),
  ].some((text) => (text ?? '').trim());
  const wanted = 'button, a[href], input:not([type=hidden]), select, textarea, [role=button], [role=tab],'
    + ' [role=switch], [role=checkbox], [role=combobox], [role=menuitem], [tabindex="0"]:not(pre):not(div):not(.q-tab-panel)';
  return [...document.querySelectorAll(wanted)].filter(isSeen).filter((one) => !name(one))
    .map((one) => one.outerHTML.slice(0, 200));
}"""


@dataclass
class Window:
    """Somebody's browser. ``faults`` has to stay empty."""

    context: BrowserContext
    url: str
    page: Page = field(init=False)
    faults: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.context.set_default_timeout(20_000)
        self.context.add_init_script(_WATCH)
        self.context.on("console", self._said)
        self.context.on("weberror", lambda error: self._found(f"uncaught: {error.error}"))
        self.context.on("request", self._asked)
        self.context.on("requestfailed", self._failed)
        self.context.on("response", self._answered)
        self.page = self.context.new_page()

    def go(self, path: str) -> Page:
        """Open a page, and wait until it is connected and nothing changes in it any more."""
        self.page.goto(self.url + path)
        settle(self.page)
        return self.page

    def hook(self, name: str) -> Locator:
        return self.page.get_by_test_id(name)

    def shift(self) -> float:
        """How much of the page moved by itself since it was opened."""
        return float(self.page.evaluate("window.ryShift"))

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        wider = "document.scrollingElement.scrollWidth - window.innerWidth"
        return max(0, int(self.page.evaluate(wider)))

    def nameless(self) -> list[str]:
        """What can be clicked or filled in, and has no name for who can't see it."""
        found: list[str] = self.page.evaluate(_NAMELESS)
        return found

    def is_hurt(self) -> bool:
        """Whether a script of somebody's text ran."""
        return bool(self.page.evaluate("window.hurt"))

    def _found(self, fault: str) -> None:
        if not any(one in fault for one in self.expected):
            self.faults.append(fault)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._found(f"console: {message.text} ({message.location.get('url')})")

    def _asked(self, request: Asked) -> None:
        parts = urlsplit(request.url)
        here = parts.scheme in ("data", "blob") or parts.netloc == urlsplit(self.url).netloc
        if not here:
            self._found(f"another host: {request.url}")

    def _failed(self, request: Asked) -> None:
        # Whoever leaves a page, or seeks in a film, breaks off what was still on its way.
        if request.failure != "net::ERR_ABORTED":
            self._found(f"failed: {request.url} {request.failure}")

    def _answered(self, response: Answered) -> None:
        if response.status >= 400:
            self._found(f"{response.status}: {response.url}")


def settle(page: Page) -> None:
    """Wait until a page is connected and nothing changes in it any more."""
    page.wait_for_function(_QUIET)


OpenWindow = Callable[..., Window]
Look = dict[str, Any]
DESK: Look = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"}
PHONE: Look = {
    "viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True,
}  # fmt: skip
