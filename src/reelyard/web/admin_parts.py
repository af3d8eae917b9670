"""What the pages of people, tokens and webhooks share: lists of rows, and secrets that are shown once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui
from nicegui.element import Element

from reelyard.domain.errors import printable

from .job_look import tagged

ADMIN_CSS = """
.ry-arow { display: flex; align-items: center; gap: 4px 14px; width: 100%; padding: 8px 0; flex-wrap: wrap;
  border-bottom: 1px solid var(--ry-line); min-height: 52px; }
.ry-arow:last-child { border-bottom: 0; } .ry-arow > * { min-width: 0; }
.ry-main { flex: 1 1 220px; } .ry-mid { flex: 0 1 150px; } .ry-acts { display: flex; gap: 2px; flex-wrap: wrap; }
.ry-off { opacity: .65; }
.ry-form { display: grid; gap: 10px; width: 100%; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(210px, 100%), 1fr)); }
.ry-form .ry-two { grid-column: span 2; } @media (max-width: 600px) { .ry-form .ry-two { grid-column: auto; } }
.ry-tag { font-size: 12px; padding: 0 8px; line-height: 18px; border-radius: 9px; background: var(--ry-soft); }
.ry-tag[data-kind=bad] { background: #b3261e; color: #fff; } .ry-tag[data-kind=good] { background: #1c7c45; color: #fff; }
"""


@contextmanager
def section(title: str, text: str = "") -> Iterator[None]:
    """A card with a heading, and a sentence that says what it is for."""
    with ui.card().classes("ry-card q-pa-md").style("gap: 10px"):
        with ui.column().classes("full-width").style("gap: 2px"):
            ui.label(title).classes("text-subtitle1 text-weight-medium").props(
                "role=heading aria-level=2"
            )
            if text:
                ui.label(text).classes("ry-dim text-caption").style("max-width: 80ch")
        yield


@contextmanager
def row(hook: str, faded: bool = False) -> Iterator[Element]:
    """One line of a list."""
    with ui.element("div").classes("ry-arow" + (" ry-off" if faded else "")) as element:
        yield tagged(element, hook)


def cell(main: str, below: str = "", classes: str = "ry-main") -> None:
    """A text with a smaller one under it."""
    with ui.column().classes(classes).style("gap: 0"):
        ui.label(printable(main)).style("overflow-wrap: anywhere; max-width: 100%")
        if below:
            ui.label(printable(below)).classes("ry-dim text-caption").style(
                "overflow-wrap: anywhere; max-width: 100%"
            )


def tag(text: str, kind: str = "") -> Element:
    """A state in a word."""
    label = ui.label(text).classes("ry-tag")
    label.props["data-kind"] = kind
    return label


def act(name: str, hook: str, icon: str = "") -> ui.button:
    """A small button at the end of a row."""
    button = ui.button(name, icon=icon or None).props("flat dense no-caps").classes("q-px-sm")
    tagged(button, hook)
    return button


def password_field(label: str, hook: str) -> ui.input:
    field = ui.input(label, password=True, password_toggle_button=True)
    field.props("outlined dense autocomplete=new-password")
    tagged(field, hook)
    return field


async def show_secret(title: str, secret: str, text: str) -> None:
    """Show what is shown this once, until the visitor says that it is kept."""
    with ui.dialog().props("persistent") as dialog, ui.card().style("width: min(560px, 94vw)"):
        ui.label(title).classes("text-h6").props("role=heading aria-level=2")
        ui.label("Copy it now: it is not shown again.").classes("text-weight-medium")
        field = ui.input(value=secret).props("readonly outlined dense aria-label=Secret")
        tagged(field.classes("full-width ry-mono"), "secret")
        ui.label(text).classes("ry-dim text-caption")
        with ui.row().classes("full-width justify-end"):
            copy = ui.button("Copy", icon="content_copy", on_click=lambda: _copy(secret))
            tagged(copy.props("outline no-caps"), "secret-copy")
            done = ui.button("I have it", on_click=lambda: dialog.submit(True))
            tagged(done.props("unelevated no-caps"), "secret-done")
    await dialog
    dialog.delete()


async def _copy(text: str) -> None:
    """Browsers let pages write to the clipboard over HTTPS only, or on the machine itself."""
    if await ui.run_javascript("window.isSecureContext"):
        ui.clipboard.write(text)
        ui.notify("Copied", type="positive")
    else:
        ui.notify(
            "This browser copies for pages over HTTPS only. Mark the text and copy it.",
            type="warning",
        )
