"""No path and no name leads out: not in addresses, not in queries, not in bodies, however it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest

from tests.api.house import House
from tests.api.rights import table
from tests.api.wire import Answer, Wire

SECRET = b"root-of-all-secrets"
CLIMBS = [
    "..", ".", "../..", "../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "..\\..\\secret",
    "C:\\secret.txt", "\\\\server\\share\\secret", "~root", "....//....//secret", "a\0b", "a\nb", "%",
    "%zz", "%2e%2e%2fsecret", "%252e%252e%252fsecret", "x" * 5000, "é" * 3000, "\u202e", "\ufffe",
    "file:///etc/passwd", "file://%2e%2e/secret", "http://127.0.0.1/", "-", "*", "' OR 1=1 --", "%s",
    "{0}", "${HOME}", "$(id)", "\ud800",
]  # fmt: skip
RAW = [
    b"..", b"%2e%2e", b"%2e%2e%2fsecret.txt", b"%2E%2E/%2E%2E/secret.txt", b"..%2f..%2fsecret.txt",
    b"%252e%252e%252fsecret.txt", b"..%5c..%5csecret.txt", b"%00", b"a%00.log", b"%ff%fe", b"%ed%a0%80",
    b"%c0%ae%c0%ae%c0%afsecret.txt", b"%c0%af", b"%uff0e", b"%", b"%e", b";x", b"job.log%00.txt",
    b"job.log/..", b"./job.log", b"x" * 9000, b"%0d%0aSet-Cookie:x=1", b"%e2%80%ae", b"%20",
]  # fmt: skip


@pytest.fixture(scope="module")
def ada(house: House) -> Wire:
    """Who may do most; nobody may do this."""
    return house.of("ada")


@pytest.fixture(scope="module")
def outside(house: House) -> Iterator[Path]:
    """A secret beside the roots, and links in them that lead to it."""
    folder = house.folder / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_bytes(SECRET)
    (folder / "secret.mp4").write_bytes((house.media / "clip.mp4").read_bytes() + SECRET)
    (house.folder / "secret.txt").write_bytes(SECRET)
    (house.media / "leads-out.mp4").symlink_to(folder / "secret.mp4")
    (house.media / "out").symlink_to(folder)
    (house.media / "loop.mp4").symlink_to(house.media / "loop.mp4")
    yield folder


def check(answer: Answer, what: object) -> None:
    assert answer.status < 500, (what, answer.text[:300])
    assert SECRET not in answer.body, what
    assert b"root:x:0" not in answer.body, what
    assert "set-cookie" not in answer.headers, what


def _targets(method: str, path: str, raw: bytes, house: House) -> Iterator[bytes]:
    """The address with this in each of its places, the others filled in as they should be."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    right = {"job_id": "0b0c3ac5-9bb4-4b0e-8f06-4a6ac7c1ad7b", "name": "job.log", "number": "1"}
    for wanted in names:
        target = path.encode()
        for name in names:
            value = raw if name == wanted else right.get(name, "x").encode()
            target = target.replace(b"{%s}" % name.encode(), value)
        yield target


PLACES = sorted({(row.method, row.path) for row in table() if "{" in row.path})


@pytest.mark.parametrize(("method", "path"), PLACES)
def test_a_part_of_an_address_leads_nowhere(
    house: House, ada: Wire, outside: Path, method: str, path: str
) -> None:
    """As it stands on the wire: dots, encoded once and twice, zero bytes, bytes that are no text."""
    document: Any = None if method in ("GET", "DELETE") else {}
    for raw in RAW:
        for target in _targets(method, path, raw, house):
            answer = ada(method, target, document)
            check(answer, target)
            assert answer.status != 200 or path == "/api/{path}" or answer.kind != "text/plain"


def test_the_log_of_a_job_is_one_of_three(house: House, ada: Wire, outside: Path) -> None:
    """Nothing else of its folder, nor of any other, has a name here."""
    job_id = house.film()
    logs = house.folder / "logs" / job_id
    (logs / "other.txt").write_bytes(SECRET)
    for raw in [*RAW, b"other.txt", b"../../secret.txt", b"/etc/passwd", b"JOB.LOG"]:
        answer = ada("GET", f"/api/v1/jobs/{job_id}/logs/".encode() + raw)
        check(answer, raw)
        assert answer.status in (404, 405, 422), raw


def test_the_scripts_of_the_page_are_all_there_is_beside_it(ada: Wire, outside: Path) -> None:
    for raw in RAW:
        for start in (b"/api/static/", b"/api/static/../", b"/api/static//", b"/", b"//"):
            check(ada("GET", start + raw), start + raw)


@pytest.mark.parametrize("climb", CLIMBS, ids=lambda climb: ascii(climb)[:30])
def test_a_path_in_a_query_leads_nowhere(
    house: House, ada: Wire, outside: Path, climb: str
) -> None:
    """Folders, facts, thumbnails, uploads: what lies outside is as if it were not there."""
    encoded = quote_from_bytes(climb.encode("utf-8", "surrogatepass"), safe="")
    inside = quote(f"{house.media}/", safe="") + encoded
    for value in (encoded, inside):
        for method, target in (("GET", "folder"), ("GET", "facts"), ("GET", "thumbnail"),
                               ("DELETE", "uploads")):  # fmt: skip
            answer = ada(method, f"/api/v1/library/{target}?path={value}")
            check(answer, (target, value))
            is_root_itself = climb == "." and value == inside
            assert answer.status in (404, 422, 414) or is_root_itself, (target, value)
        check(ada("GET", f"/api/v1/library/search?text={value[:190]}"), value)
        check(ada("GET", f"/api/v1/jobs?uses={value}&text=x&cursor={value}"), value)
        check(ada("GET", f"/api/v1/library/folder?cursor={value}"), value)


@pytest.mark.parametrize("name", ["leads-out.mp4", "out", "out/secret.mp4", "out/secret.txt", "loop.mp4",
                                  "../outside/secret.mp4", "../media/../outside/secret.txt"])  # fmt: skip
def test_a_link_in_a_root_does_not_lead_out_of_it(
    house: House, ada: Wire, outside: Path, name: str
) -> None:
    """Neither by a path nor in a list of ids and paths, nor as an item of a job or its logo."""
    path = f"{house.media}/{name}"
    for target in ("folder", "facts", "thumbnail"):
        answer = ada("GET", f"/api/v1/library/{target}?path={quote(path)}")
        check(answer, target)
        assert answer.problem["status"] == 404
    facts = ada("POST", "/api/v1/library/facts", {"paths": [path]}).json()
    assert facts[0]["facts"] is None
    assert facts[0]["problem"]
    [listed] = ada("POST", "/api/v1/library/list", {"lines": path}).json()
    assert listed["clip"] is None or not listed["clip"]["size"]
    told = _preflight(house, ada, {"path": path})
    assert not told["ok"]
    assert not _preflight(house, ada, {"logo_path": path})["ok"]


def test_what_leads_out_is_not_in_the_list_of_a_folder(
    house: House, ada: Wire, outside: Path
) -> None:
    """Nor found by its name."""
    listed = ada("GET", f"/api/v1/library/folder?path={quote(str(house.media))}")
    assert [one["name"] for one in listed.json()["clips"]] == ["clip.mp4"]
    assert b"outside" not in listed.body
    found = ada("GET", "/api/v1/library/search?text=leads-out")
    assert found.json()["items"] == []


def _preflight(house: House, wire: Wire, changes: dict[str, Any]) -> dict[str, Any]:
    document = house.document()
    document["items"][0] |= changes
    answer = wire("POST", "/api/v1/jobs/preflight", document)
    check(answer, changes)
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize("climb", CLIMBS, ids=lambda climb: ascii(climb)[:30])
@pytest.mark.parametrize("field", ["path", "logo_path", "video_id"])
def test_a_path_in_a_job_leads_nowhere(
    house: House, ada: Wire, outside: Path, climb: str, field: str
) -> None:
    """Media roots are set: a job is refused that would show a file from outside; nothing is stored."""
    document = house.document()
    document["items"][0] |= {field: climb}
    if field == "video_id":
        del document["items"][0]["path"]
    before = house.state()
    for target in ("jobs", "jobs/preflight"):
        answer = ada("POST", f"/api/v1/{target}", document)
        check(answer, target)
        assert answer.status == 422 if target == "jobs" else not answer.json()["ok"]
    assert house.state() == before
    check(ada("POST", "/api/v1/drafts", {"job": document}), "draft")


@pytest.mark.parametrize("climb", CLIMBS, ids=lambda climb: ascii(climb)[:30])
def test_other_texts_are_texts(house: House, ada: Wire, outside: Path, climb: str) -> None:
    """Channels, names, lists, hooks: stored or refused, and read again, never followed."""
    items = [{"item_type": "video", "path": climb}]
    requests: list[tuple[str, str, Any]] = [
        ("POST", "templates", {"name": climb, "channel_name": climb, "before": items}),
        ("POST", "templates", {"name": f"{climb}!", "channel_name": "a", "logo_path": climb}),
        ("POST", "library/list", {"lines": f"{climb}\nclip.mp4"}),
        ("POST", "library/facts", {"paths": [climb]}),
        ("POST", "webhooks", {"url": climb}),
        ("POST", "webhooks", {"url": "https://example.com", "channel_name": climb}),
        ("POST", "tokens", {"name": climb, "scopes": ["read"]}),
        ("POST", "users", {"username": climb, "password": climb}),
        ("POST", f"jobs/{house.job()}/priority", {"before": climb}),
        ("POST", "jobs", {**house.document(), "channel_name": climb}),
        ("POST", "jobs", {**house.document(), "job_id": climb}),
    ]
    for method, target, document in requests:
        check(ada(method, f"/api/v1/{target}", document), (target, document))
    for target in ("templates", "webhooks", "tokens", "users", "jobs", "audit?limit=200",
                   "history/channels", "queues"):  # fmt: skip
        answer = ada("GET", f"/api/v1/{target}")
        assert answer.status == 200, (target, answer.text[:300])
        json.loads(answer.body)
    for one in ada("GET", "/api/v1/webhooks").json():
        ada("DELETE", f"/api/v1/webhooks/{one['webhook_id']}")
