"""The table of templates."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from reelyard.domain.errors import Conflict, NotFound, printable
from reelyard.domain.job import Item, ItemType
from reelyard.domain.template import Template

from .clock import now
from .database import Database
from .moves import note
from .rows import Row, decoded, encoded, job_id_of
from .schema import templates


class Templates:
    """What compilations can begin with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, channel_name: str | None = None) -> Sequence[Template]:
        """All, or one channel's, by name."""
        query = sa.select(templates).order_by(templates.c.channel_name, templates.c.name)
        if channel_name is not None:
            query = query.where(templates.c.channel_name == encoded(channel_name))
        with self._database.reading() as connection:
            return [_template(row) for row in connection.execute(query)]

    def get(self, template_id: str) -> Template:
        """Raises NotFound."""
        with self._database.reading() as connection:
            return _get(connection, template_id)

    def save(self, template: Template, *, by: str | None = None) -> Template:
        """Add a template, or change the one with its id; an empty id is a new one.

        Raises NotFound, or Conflict where another one of the channel has its name.
        """
        values = {
            "channel_name": encoded(template.channel_name), "name": encoded(template.name),
            "body": _body(template), "updated_at": now(), "updated_by": by and encoded(by),
        }  # fmt: skip
        new_id = str(uuid.uuid4())
        try:
            with self._database.writing() as connection:
                if template.template_id:
                    new_id = _get(connection, template.template_id).template_id
                    this = templates.c.template_id == new_id
                    connection.execute(sa.update(templates).where(this).values(**values))
                else:
                    connection.execute(sa.insert(templates).values(template_id=new_id, **values))
                said = f"template {template.name} of {template.channel_name} was saved"
                note(connection, "template", said, by=by)
                return _get(connection, new_id)
        except IntegrityError as error:
            message = (
                f"{printable(template.channel_name)} has a template {printable(template.name)}"
            )
            raise Conflict(message, remedy="Choose another name, or change that one") from error

    def remove(self, template_id: str, *, by: str | None = None) -> None:
        """Raises NotFound."""
        with self._database.writing() as connection:
            found = _get(connection, template_id)
            this = templates.c.template_id == found.template_id
            connection.execute(sa.delete(templates).where(this))
            said = f"template {found.name} of {found.channel_name} was removed"
            note(connection, "template", said, by=by)


def _get(connection: sa.Connection, template_id: str) -> Template:
    wanted = job_id_of(template_id)
    query = sa.select(templates).where(templates.c.template_id == wanted)
    row = None if wanted is None else connection.execute(query).first()
    if row is None:
        raise NotFound("there is no such template", remedy="List the templates there are")
    return _template(row)


_PLAIN = ("still_seconds", "enable_4k", "loudness", "chapters")


def _body(template: Template) -> dict[str, Any]:
    return {
        "before": [_item(item) for item in template.before],
        "after": [_item(item) for item in template.after],
        "logo_path": template.logo_path and encoded(template.logo_path),
        "text": template.text and encoded(template.text),
        **{name: getattr(template, name) for name in _PLAIN},
    }


def _template(row: Row) -> Template:
    body = row.body
    return Template(
        template_id=row.template_id,
        name=decoded(row.name),
        channel_name=decoded(row.channel_name),
        before=_items(body["before"]),
        after=_items(body["after"]),
        logo_path=body["logo_path"] and decoded(body["logo_path"]),
        text=body["text"] and decoded(body["text"]),
        updated_at=row.updated_at,
        updated_by=row.updated_by and decoded(row.updated_by),
        **{name: body[name] for name in _PLAIN},
    )


_TEXTS = ("path", "named", "video_id", "logo_path", "text")
_TIMES = ("duration", "start", "end")


def _item(item: Item) -> dict[str, Any]:
    texts = {name: getattr(item, name) for name in _TEXTS}
    times = {name: getattr(item, name) for name in _TIMES}
    return {
        "item_type": item.item_type.value,
        **{name: None if text is None else encoded(text) for name, text in texts.items()},
        **{name: None if time is None else str(time) for name, time in times.items()},
    }


def _items(rows: list[dict[str, Any]]) -> tuple[Item, ...]:
    found = []
    for position, row in enumerate(rows, 1):
        texts: Any = {name: row[name] and decoded(row[name]) for name in _TEXTS}
        times: Any = {name: row[name] and Fraction(row[name]) for name in _TIMES}
        blank = Item(position=position, item_type=ItemType(row["item_type"]), path="", named="")
        found.append(replace(blank, **texts, **times))
    return tuple(found)
