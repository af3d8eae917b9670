"""Templates: begun with, saved, renamed and removed."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui
from pydantic import ValidationError

from reelyard.domain.access import Principal
from reelyard.domain.errors import RequestInvalid
from reelyard.domain.template import Template
from reelyard.services.templates import TemplateDocument, template_document

from .compose_page import Page, button, element
from .visitor import show_error


class Templates:
    """The button, its menu, and the two dialogs."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with button("Templates", "auto_awesome_motion", lambda: None, "templates", flat="yes"):
            with ui.menu() as self._menu:
                self._list = ui.column().classes("ry-menu").style("gap: 0")
        self._menu.on("before-show", self._show_menu)
        with ui.dialog() as self._save_dialog, ui.card().classes("ry-dialog"):
            self._build_save()
        with ui.dialog() as self._manage, ui.card().classes("ry-dialog"):
            ui.label("Templates").classes("text-h6")
            self._rows = ui.column().classes("full-width").style("gap: 4px")
            with ui.row().classes("full-width justify-end"):
                button("Close", "", self._manage.close, "templates-close", flat="yes")

    def _build_save(self) -> None:
        ui.label("Save as a template").classes("text-h6")
        self._kept = ui.label().classes("ry-dim")
        self._name = (
            ui.input("Name").props("outlined dense maxlength=200 autofocus").classes("full-width")
        )
        self._name.mark("template-name").props["data-testid"] = "template-name"
        self._name.on("keydown.enter", self._save)
        with ui.row().classes("full-width justify-end"):
            button("Close", "", self._save_dialog.close, "template-close", flat="yes")
            button("Save", "save", self._save, "template-save")

    async def _known(self) -> Sequence[Template]:
        """All templates, those of this channel first."""
        channel = self._page.now.settings.channel_name.strip()
        found = await self._page.visitor.do(self._page.office.templates.list)
        return sorted(
            found or (), key=lambda one: (one.channel_name != channel, one.channel_name, one.name)
        )

    async def _show_menu(self) -> None:
        templates = await self._known()
        self._list.clear()
        with self._list:
            for one in templates[:100]:
                item = ui.menu_item(on_click=lambda _, one=one: self.use(one)).mark("template")
                item.props["data-testid"] = "template"
                with item, element("div"):
                    element("div", "", one.name)
                    element("div", "ry-dim text-caption", one.channel_name)
            if not templates:
                ui.label("A template keeps a channel's intro, outro, logo and text. There is none yet.") \
                    .classes("ry-dim q-pa-md").style("max-width: 260px")  # fmt: skip
            ui.separator()
            ui.menu_item("Save this as a template …", on_click=self._ask_name).mark(
                "template-save-as"
            )
            if templates:
                ui.menu_item("Rename or remove …", on_click=self._open_manage).mark(
                    "template-manage"
                )

    def use(self, template: Template) -> None:
        """Its ends around the list, its style on the rows."""
        made = self._page.now.with_template(template_document(template))
        self._page.change(made, f"use the template {template.name}")
        ui.notify(f"The template {template.name} is in use")

    async def use_by_id(self, template_id: str) -> None:
        found = await self._page.visitor.do(
            lambda who: self._page.office.templates.get(who, template_id)
        )
        if found is not None:
            self.use(found)

    def _ask_name(self) -> None:
        kept = self._page.now.to_template("")
        parts = [
            f"{len(kept['before'])} intros at the beginning",
            f"{len(kept['after'])} outros at the end",
        ]
        parts += ["the logo of the videos"] if kept["logo_path"] else []
        parts += ["their text"] if kept["text"] else []
        channel = kept["channel_name"].strip() or "no channel yet: choose one first"
        self._kept.set_text(f"For {channel}. It keeps {', '.join(parts)}, and the settings.")
        self._save_dialog.open()

    async def _save(self) -> None:
        said = self._page.now.to_template((self._name.value or "").strip())
        try:
            document = TemplateDocument.model_validate(said)
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0]).replace("_", " ")
            show_error(
                RequestInvalid(
                    f"the template's {field} is missing or too long", remedy=f"Correct the {field}"
                )
            )
            return
        name = document.name
        done = await self._page.visitor.do(
            lambda who: self._page.office.templates.save(who, document), f"{name} is saved"
        )
        if done is not None:
            self._save_dialog.close()
            self._name.set_value("")

    async def _open_manage(self) -> None:
        await self._show_rows()
        self._manage.open()

    async def _show_rows(self) -> None:
        templates = await self._known()
        self._rows.clear()
        with self._rows:
            for one in templates:
                self._row(one)
            if not templates:
                ui.label("There is no template.").classes("ry-dim")

    def _row(self, one: Template) -> None:
        with ui.row().classes("items-center no-wrap full-width"):
            name = ui.input(value=one.name).props("outlined dense maxlength=200").classes("col")
            name.props["aria-label"] = f"Name of {one.name}"
            ui.label(one.channel_name).classes("ry-dim ellipsis").style("width: 120px")
            for icon, label, call in (("save", "Rename", lambda: self._rename(one, name.value)),
                                      ("delete_outline", "Remove", lambda: self._remove(one))):  # fmt: skip
                made = ui.button(icon=icon, on_click=call).props("flat dense round")
                made.props["aria-label"] = f"{label} {one.name}"

    async def _rename(self, one: Template, name: str) -> None:
        def call(who: Principal) -> Template:
            return self._renamed(who, one, name)

        if await self._page.visitor.do(call, "Renamed") is not None:
            await self._show_rows()

    def _renamed(self, who: Principal, one: Template, name: str) -> Template:
        said = template_document(self._page.office.templates.get(who, one.template_id))
        fields = {key: said[key] for key in TemplateDocument.model_fields}
        try:
            document = TemplateDocument.model_validate(fields | {"name": name})
        except ValidationError as error:
            raise RequestInvalid("a template needs a name of at most 200 letters", remedy="Give it another one",
                                 field="name") from error  # fmt: skip
        return self._page.office.templates.save(who, document, one.template_id)

    async def _remove(self, one: Template) -> None:
        def call(who: Principal) -> bool:
            self._page.office.templates.remove(who, one.template_id)
            return True

        if await self._page.visitor.do(call, f"{one.name} is removed"):
            await self._show_rows()
