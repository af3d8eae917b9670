"""Who may what: every address, asked by everybody. The table is docs/rights.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI

from reelyard.domain.access import Scope
from tests.api.house import PEOPLE, House, opened
from tests.api.rights import Row, request_for, table
from tests.api.wire import Answer, Wire
from tests.supabase_auth import SupabaseAuth

TABLE = table()
NOBODY = {"no credentials", "a revoked token", "an ended session"}
REFUSED = (401, 403, 404)


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path, short_clip: Path
) -> Iterator[House]:
    """The usual one, which knows a Supabase project as well; its tokens are looked at without asking it."""
    folder, auth = tmp_path_factory.mktemp("rights"), SupabaseAuth(signs_with_secret=True)
    with opened(House(folder, migrated, short_clip, auth=auth)) as house:
        yield house


@pytest.fixture(scope="module")
def callers(house: House, open_house: House) -> dict[str, Wire]:
    """Everybody of the table; "nobody" is three."""
    own, write = house.wire, (Scope.READ, Scope.WRITE)
    found = {
        "no credentials": own,
        "a revoked token": Wire(own.app, own.runner, house.revoked("ann")),
        "an ended session": Wire(own.app, own.runner, house.session("ann", -1)),
        **{name: house.of(name) for name in PEOPLE},
        "reads": house.with_token("ann", Scope.READ),
        "writes": house.with_token("ann", *write),
        "ada's": house.with_token("ada", *write),
        "JWT": Wire(own.app, own.runner, house.jwt("ann")),
        "local": open_house.wire,
    }
    for wire in found.values():
        wire("GET", "/api/v1/session")  # notes when they were seen
    return found


def ask(row: Row, house: House, callers: dict[str, Wire], name: str) -> tuple[Answer, bool]:
    """The answer, and whether the request changed anything; HEAD is asked, too, where there is one."""
    wanted = request_for(row, house)
    target = re.sub(r"{(\w+)}", lambda part: quote(str(wanted.parts[part[1]])), row.path)
    target = f"{target}?{wanted.query}" if wanted.query else target
    chunks = None if wanted.content is None else [wanted.content]
    document = wanted.document if row.method != "GET" else None
    before = house.state()
    answer = callers[name](row.method, target, document, chunks=chunks)
    if f"HEAD {row.path}" in _all_addresses(house.app) and row.method == "GET":
        head = callers[name]("HEAD", target)
        assert head.status == answer.status
    has_changed = house.state() != before
    if wanted.signs_out and name in PEOPLE:
        callers[name] = house.of(name)
    return answer, has_changed


def cells(row: Row) -> Iterator[tuple[str, int]]:
    for name, status in row.statuses.items():
        yield from ((one, status) for one in (sorted(NOBODY) if name == "nobody" else [name]))


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_each_caller_gets_what_the_table_says_and_a_refusal_changes_nothing(
    row: Row, callers: dict[str, Wire], house: House, open_house: House
) -> None:
    """Every cell of the row; what is refused leaves no trace and is told in the one shape."""
    found = {}
    for name, _ in cells(row):
        own = open_house if name == "local" else house
        answer, has_changed = ask(row, own, callers, name)
        found[name] = answer.status
        assert answer.status < 500, answer.text
        if answer.status in REFUSED:
            assert not has_changed, f"{name} was refused, and something changed"
            assert answer.problem["code"], name
        if answer.status == 401 and "session" not in row.path:
            assert answer.headers["www-authenticate"] == "Bearer"
    assert found == dict(cells(row))


def _addresses(routes: Any, prefix: str = "") -> Iterator[str]:
    """Every method and path, also of what was included."""
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from _addresses(route.effective_candidates())
        else:
            for method in route.methods or ("GET",):
                yield f"{method} {route.path}"


def _all_addresses(app: FastAPI) -> set[str]:
    plain = (one for one in app.routes if type(one).__name__ != "Mount")
    return {one.replace("{path:path}", "{path}") for one in _addresses(plain)}


def test_the_table_has_every_address_of_the_server(house: House) -> None:
    """A route that nobody thought about is not let through."""
    twins = {f"HEAD {row.path}" for row in TABLE if row.method == "GET"} | {
        f"{method} /api/{{path}}"
        for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    }
    known = {f"{row.method} {row.path}" for row in TABLE} - {"GET /api/static/swagger-ui.css"}
    assert known == _all_addresses(house.app) - twins
    documented = {f"{method.upper()} {path}" for path, one in house.app.openapi()["paths"].items()
                  for method in one}  # fmt: skip
    assert documented < known, "the document has what the table has not"
    mounts = [one.path for one in house.app.routes if type(one).__name__ == "Mount"]  # type: ignore[attr-defined]
    assert mounts == ["/api/static"], "what is mounted stands in the table, too"


def test_every_operation_of_somebody_elses_is_not_found_for_an_operator() -> None:
    """Of ann's things ben hears 404, so that he can't tell whether they are there."""
    own = ("{job_id}", "{draft_id}", "{webhook_id}", "{token_id}")
    rows = [row for row in TABLE if any(part in row.path for part in own)]
    told = {str(row) for row in rows if row.statuses["ben"] != 404}
    assert told == {
        "POST /api/v1/jobs/{job_id}/priority first",  # of any job at all, so nothing is told
        "POST /api/v1/jobs/{job_id}/priority before another",
    }


@pytest.mark.parametrize("document", [{"first": True}, {"before": "someone"}])
def test_an_operator_hears_the_same_of_a_job_that_is_not_there(
    house: House, document: dict[str, Any]
) -> None:
    """Moving to the front is a manager's: 403 says nothing of whether there is such a job."""
    ben = house.of("ben")
    told = [ben("POST", f"/api/v1/jobs/{one}/priority", document).problem
            for one in (house.job(), "0b0c3ac5-9bb4-4b0e-8f06-4a6ac7c1ad7b")]  # fmt: skip
    for one in told:
        one.pop("instance")
    assert told[0] == told[1]


def test_lists_hold_what_is_theirs_and_managers_all(house: House) -> None:
    """An operator's lists, totals, uploads and events are of their own things alone."""
    done = house.film()
    waiting = house.lease("pc8").job_id
    own, others, all_of_it = house.of("ann"), house.of("ben"), house.of("mia")
    for target in ("/api/v1/jobs?limit=200", "/api/v1/queues", "/api/v1/history/results",
                   "/api/v1/history/results.csv", "/api/v1/webhooks", "/api/v1/tokens"):  # fmt: skip
        job_id = waiting if "queues" in target else done
        ids = [job_id.encode() in wire("GET", target).body for wire in (own, others, all_of_it)]
        if "webhooks" not in target and "tokens" not in target:
            assert ids == [True, False, True], target
        user_id = house.user_id("ann").encode()
        assert user_id not in others("GET", target).body
    house.books.jobs.cancel(waiting)


def test_a_worker_does_not_tell_of_a_job_that_is_somebody_elses(house: House) -> None:
    """Workers are everybody's to see; what they are at is not."""
    lease = house.lease("pc7")
    shown = {name: house.of(name)("GET", "/api/v1/workers/pc7").json()["job_id"]
             for name in ("ann", "ben", "mia")}  # fmt: skip
    assert shown == {"ann": lease.job_id, "ben": None, "mia": lease.job_id}
    assert lease.job_id.encode() not in house.of("ben")("GET", "/api/v1/workers").body
    house.books.jobs.cancel(lease.job_id)
