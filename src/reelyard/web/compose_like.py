"""Beginning with what a job was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nicegui import ui

from reelyard.services.clips import ListedClip

from .compose_list import Compilation
from .compose_page import Page
from .compose_row import Row, row_of_clip


async def begin_like(page: Page, job_id: str) -> None:
    """What a job was made of, in place of what was there; that can be brought back."""
    office = page.office
    document = await page.visitor.do(lambda who: office.jobs.document(who, job_id))
    if document is None:
        return
    had_some = bool(page.now.rows)
    made = await _with_paths(page, page.now.from_document(document))
    page.change(made, "begin with a job's list")
    if had_some:
        ui.notify("The list was replaced by the job's. Undo brings yours back.", timeout=8000)


async def _with_paths(page: Page, made: Compilation) -> Compilation:
    """Videos that were named by their ids, with the files that they have now."""
    ids = list(dict.fromkeys(row.video_id for row in made.rows if row.video_id))
    library = page.office.library
    listed: Sequence[ListedClip] | None = None
    if ids:
        listed = await page.visitor.do(lambda who: library.resolve_list(who, "\n".join(ids)))
    found = {one.clip.video_id: one.clip for one in listed or () if one.clip is not None}

    def with_path(row: Row) -> Row:
        clip = found.get(row.video_id) if row.video_id else None
        if clip is None:
            return row
        there = row_of_clip(clip)
        return replace(row, path=there.path, name=there.name)

    return replace(made, rows=tuple(map(with_path, made.rows)))
