"""Templates: what was saved is what comes back."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from reelyard.domain.errors import Conflict, NotFound
from reelyard.domain.job import Item, ItemType
from reelyard.domain.template import Template
from reelyard.store.templates import Templates

from .conftest import Books, at_once, new_id
from .test_people import ODD

FULL = Template(
    template_id="", name="Weekly", channel_name="Trains", text="{\\b1}Zoë \udcff", still_seconds=4.1,
    logo_path="/logos/\udcff.png", enable_4k=True, loudness=True, chapters=True,
    before=(
        Item(position=1, item_type=ItemType.INTRO, path="/m/a \udcff.mp4", named="a \udcff.mp4",
             start=Fraction(1, 3), end=Fraction(41, 10)),
        Item(position=2, item_type=ItemType.VIDEO, path="", named="v1", video_id="v1",
             logo_path="/l.png", text="hello"),
    ),
    after=(Item(position=1, item_type=ItemType.IMAGE, path="/m/b.png", named="b.png",
                duration=Fraction(5)),),
)  # fmt: skip


@pytest.fixture
def templates(books: Books) -> Templates:
    return Templates(books.database)


def _same(found: Template, asked: Template) -> bool:
    plain = {"template_id": "", "updated_at": None, "updated_by": None}
    return replace(found, **plain) == replace(asked, **plain)  # type: ignore[arg-type]


def test_a_template_comes_back_as_it_was_saved(templates: Templates) -> None:
    made = templates.save(FULL, by="ann \udcff")
    assert _same(made, FULL)
    assert made.updated_by == "ann \udcff"
    assert made.updated_at is not None
    assert templates.get(made.template_id) == made == templates.list()[0]
    bare = templates.save(Template(template_id="", name="Bare", channel_name="Trains"))
    assert _same(bare, Template(template_id="", name="Bare", channel_name="Trains"))


def test_templates_of_any_name_are_listed_by_channel_and_name(templates: Templates) -> None:
    for channel in ("b", "a"):
        for name in ODD:
            templates.save(Template(template_id="", name=name, channel_name=channel))
    found = [(one.channel_name, one.name) for one in templates.list()]
    assert {channel for channel, _ in found[: len(ODD)]} == {"a"}
    assert sorted(found) == sorted((channel, name) for channel in "ab" for name in ODD)
    assert {one.name for one in templates.list("b")} == set(ODD)
    assert templates.list("c") == templates.list("\0") == []


def test_a_template_is_changed_as_a_whole(books: Books, templates: Templates) -> None:
    made = templates.save(FULL)
    changed = templates.save(
        Template(template_id=made.template_id, name="Other", channel_name="Ships"), by="ben"
    )
    assert changed.template_id == made.template_id
    assert _same(changed, Template(template_id="", name="Other", channel_name="Ships"))
    assert templates.list() == [changed]
    assert books.rows("events")["events"][-1][-2:] == ("ben", "template Other of Ships was saved")


def test_a_name_that_another_template_of_the_channel_has_is_refused(
    books: Books, templates: Templates
) -> None:
    first = templates.save(FULL)
    second = templates.save(replace(FULL, name="Daily"))
    before = books.rows()
    for clash in (FULL, replace(FULL, template_id=second.template_id)):
        with pytest.raises(Conflict, match="Trains has a template Weekly"):
            templates.save(clash)
    assert books.rows() == before
    templates.save(replace(FULL, channel_name="Ships"))
    templates.save(replace(FULL, template_id=first.template_id, text="new"))


def test_of_two_who_save_a_name_at_once_one_does(templates: Templates) -> None:
    def save() -> bool:
        try:
            return bool(templates.save(FULL))
        except Conflict:
            return False

    assert sorted(at_once(save, save, save)) == [False, False, True]
    assert len(templates.list()) == 1


def test_a_template_that_was_removed_is_gone(books: Books, templates: Templates) -> None:
    made, other = templates.save(FULL), templates.save(replace(FULL, name="Daily"))
    templates.remove(made.template_id, by="ann")
    assert templates.list() == [other]
    assert books.rows("events")["events"][-1][-2] == "ann"
    for name in (made.template_id, new_id(), "", "no id", "\0"):
        with pytest.raises(NotFound):
            templates.get(name)
        with pytest.raises(NotFound):
            templates.remove(name)
        if name:
            with pytest.raises(NotFound):
                templates.save(replace(FULL, name="New", template_id=name))
