"""Questions and answers as values: figures added up, what is asked for, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from reelyard.domain.errors import RequestInvalid, TooManyRequests
from reelyard.domain.output import draft_form, output_form
from reelyard.domain.query import JobQuery, Page, Sort, Total
from reelyard.domain.template import Template
from reelyard.domain.webhook import Webhook


def total(**changes: Any) -> Total:
    known = {"name": "x", "completed": 1, "failed": 0, "seconds_of_film": 60.0,
             "seconds_of_work": 30.0, "all_frames": 1800, "rendered_frames": 450}  # fmt: skip
    return Total(**{**known, **changes})


def test_a_total_knows_what_caches_had_and_how_fast_it_went() -> None:
    assert total().cache_share == 0.75
    assert total(rendered_frames=1800).cache_share == 0
    assert total().speed == 2.0


def test_where_nothing_was_done_there_is_no_share_and_no_speed() -> None:
    nothing = total(all_frames=0, rendered_frames=0, seconds_of_work=0.0, seconds_of_film=0.0)
    assert nothing.cache_share is None
    assert nothing.speed is None


def test_who_asks_for_nothing_gets_the_newest() -> None:
    asked = JobQuery()
    assert (asked.sort, asked.cursor, asked.statuses) == (Sort.NEWEST, None, ())
    assert Page([1], None).rows == [1]


def test_a_refusal_says_what_to_correct_and_when_to_come_back() -> None:
    wrong = RequestInvalid("no time", remedy="End it in Z", field="since")
    assert (wrong.field, str(wrong)) == ("since", "no time. End it in Z.")
    assert TooManyRequests("too often", retry_after=7).retry_after == 7
    assert TooManyRequests("too often").retry_after == 60


def test_a_template_has_nothing_but_its_names_until_more_is_said() -> None:
    bare = Template(template_id="", name="Weekly", channel_name="Trains")
    assert (bare.before, bare.after, bare.logo_path, bare.text) == ((), (), None, None)
    assert not (bare.enable_4k or bare.loudness or bare.chapters)


def test_a_draft_is_a_small_film_that_knows_of_which() -> None:
    film = output_form(enable_4k=True)
    draft = draft_form(film)
    assert not film.is_draft
    assert draft.is_draft
    assert draft.film_width == film.width > draft.width


def test_of_a_webhooks_address_only_the_host_is_shown() -> None:
    hook = Webhook(
        webhook_id="w", user_id="u", url="https://hooks.example:8443/a?key=s#x", secret="s",
        events=(), created_at=datetime(2026, 7, 1, tzinfo=UTC),
    )  # fmt: skip
    assert hook.receiver == "https://hooks.example:8443"
