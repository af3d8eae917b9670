"""What all pages have around them: the way to the others, who is signed in, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nicegui import ui

from reelyard.domain.access import Action, Principal

from .visitor import Visitor


@dataclass(frozen=True, slots=True)
class Place:
    """A page that the navigation leads to."""

    path: str
    name: str
    icon: str
    needs: Action


PLACES = (
    Place("/", "New compilation", "add_circle", Action.SUBMIT),
    Place("/queue", "Queue", "queue_play_next", Action.SEE_QUEUE),
    Place("/history", "History", "history", Action.SEE_HISTORY),
    Place("/workers", "Workers", "memory", Action.SEE_WORKERS),
    Place("/admin", "Administration", "admin_panel_settings", Action.ADMINISTER),
)

ACCENT = "#2f6fed"
_CSS = """
:root { --ry-line: rgba(120,120,120,.22); --ry-soft: rgba(120,120,120,.09); --ry-dim: #5d6470; }
body.body--dark { --ry-line: rgba(255,255,255,.16); --ry-soft: rgba(255,255,255,.06); --ry-dim: #a7afbd; }
body.body--light { background: #f6f7f9; }
body.body--dark .text-primary { --q-primary: #85aeff; }
.ry-page { width: 100%; max-width: 1240px; margin: 0 auto; padding: 16px; gap: 16px; }
.ry-dim { color: var(--ry-dim); }
.ry-mono { font-variant-numeric: tabular-nums; }
.ry-card { width: 100%; border: 1px solid var(--ry-line); border-radius: 10px; box-shadow: none; }
.ry-thumb { width: 128px; aspect-ratio: 16/9; border-radius: 6px; background: #14161a; object-fit: cover; flex: none; }
.ry-empty { width: 100%; padding: 48px 16px; text-align: center; color: var(--ry-dim); }
.ry-skip { position: absolute; left: -999px; } .ry-skip:focus { left: 8px; top: 8px; z-index: 9999; background: #fff; color: #000; padding: 8px; }
.nicegui-content { padding: 0; }
.q-btn-toggle .q-btn { padding-left: 10px; padding-right: 10px; }
.q-btn__content > .q-icon.on-left { margin-right: 8px; }
.items-center { align-items: center; } .items-end { align-items: flex-end; } .items-baseline { align-items: baseline; }
:focus-visible { outline: 2px solid #2f6fed; outline-offset: 2px; }
@media (max-width: 600px) { .ry-page { padding: 10px; gap: 10px; } .ry-thumb { width: 88px; } }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; animation: none !important; } }
"""


@contextmanager
def frame(visitor: Visitor, title: str) -> Iterator[Principal]:
    """A page's surroundings; what is made inside is its content. ``title`` is its heading and tab."""
    who = visitor.principal()
    ui.page_title(f"{title} · Reelyard")
    ui.add_css(_CSS)
    ui.colors(primary=ACCENT)
    look = ui.dark_mode(visitor.prefers_dark)
    ui.html('<a class="ry-skip" href="#content">To the content</a>', sanitize=False)
    places = [place for place in PLACES if who.may(place.needs)]
    with ui.header(elevated=False).classes("items-center q-px-md q-py-xs").props("bordered"):
        drawer_button = ui.button(icon="menu").props("flat dense round color=white")
        drawer_button.props('aria-label="Menu"').classes("lt-md")
        ui.link("Reelyard", "/").classes("text-white text-weight-bold text-h6").style(
            "text-decoration: none"
        )
        with ui.row().classes("gt-sm items-center q-ml-md").style("gap: 4px"):
            for place in places:
                _tab(place, visitor.path)
        ui.space()
        _look_button(look)
        _who_menu(visitor, who)
    with ui.left_drawer(value=False, bordered=True).props("overlay behavior=mobile") as drawer:
        with ui.list().classes("full-width"):
            for place in places:
                _row(place, visitor.path)
    drawer_button.on_click(drawer.toggle)
    with ui.column().classes("ry-page").props("id=content tabindex=-1 role=main"):
        heading = ui.label(title).classes("text-h5 text-weight-medium")
        heading.props("role=heading aria-level=1").style("overflow-wrap: anywhere; max-width: 100%")
        yield who


def _is_here(place: Place, path: str) -> bool:
    return path == place.path or (place.path != "/" and path.startswith(place.path + "/"))


def _tab(place: Place, path: str) -> None:
    button = ui.button(place.name, icon=place.icon, on_click=lambda: ui.navigate.to(place.path))
    button.props("flat no-caps color=white dense").classes("q-px-sm")
    if _is_here(place, path):
        button.props("aria-current=page").style("background: rgba(255,255,255,.18)")


def _row(place: Place, path: str) -> None:
    with ui.item(on_click=lambda: ui.navigate.to(place.path)).props("clickable") as item:
        if _is_here(place, path):
            item.props("active")
        with ui.element("q-item-section").props("avatar"):
            ui.icon(place.icon)
        with ui.element("q-item-section"):
            ui.label(place.name)


def _look_button(look: ui.dark_mode) -> None:
    """Light, dark, or as the system has it; the browser remembers."""
    with (
        ui.button(icon="contrast").props('flat dense round color=white aria-label="Light or dark"'),
        ui.menu().props("auto-close"),
    ):
        for name, value in (("As the system", None), ("Light", False), ("Dark", True)):
            kept = {None: "auto", False: "light", True: "dark"}[value]
            ui.menu_item(name, on_click=lambda _, v=value, k=kept: _choose(look, v, k))


def _choose(look: ui.dark_mode, value: bool | None, kept: str) -> None:
    look.set_value(value)
    ui.run_javascript(
        f"document.cookie = 'reelyard_look={kept};path=/;max-age=31536000;samesite=lax'"
    )


def _who_menu(visitor: Visitor, who: Principal) -> None:
    with ui.button(icon="person").props('flat dense round color=white aria-label="Your account"'):
        with ui.menu():
            with ui.column().classes("q-pa-md").style("gap: 8px; min-width: 200px"):
                ui.label(who.username).classes("text-weight-medium")
                ui.label(str(who.role)).classes("ry-dim text-caption")
                if who.session is None:
                    ui.label("Nobody has an account: this machine is open to you.").classes(
                        "text-caption"
                    )
                else:
                    ui.link("Your account", "/account")
                    with ui.element("form").props("method=post action=/sign-out"):
                        ui.button("Sign out").props("flat no-caps dense type=submit color=primary")


def empty(icon: str, title: str, text: str) -> None:
    """What a list shows while there is nothing in it: what would be here, and how it gets there."""
    with ui.column().classes("ry-empty items-center"):
        ui.icon(icon, size="48px")
        ui.label(title).classes("text-h6")
        ui.label(text).style("max-width: 46ch")
