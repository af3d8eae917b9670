"""Supabase's users at the pages: signing in, their account, and what an admin sees of them."""

from __future__ import annotations

from http.client import HTTPConnection
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.supabase_auth import PASSWORD, SupabaseAuth, User

from .site import Site
from .window import OpenWindow

LEA = User("lea@example.com", app_metadata={"reelyard_role": "manager"})


@pytest.fixture
def lea(supabase: SupabaseAuth) -> User:
    return supabase.users.setdefault(LEA.email, LEA)


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_user_of_supabases_signs_in_and_finds_their_account(
    lea: User, open_window: OpenWindow
) -> None:
    """With email and password; the account says where the password is, and makes tokens."""
    window = open_window()
    page = window.go("/account")
    sign_in(page, lea.email, "wrong words")
    expect(page.get_by_role("alert")).to_contain_text("don't go together")
    sign_in(page, lea.email, PASSWORD)
    expect(window.hook("account-role")).to_contain_text("Manager")
    expect(page.get_by_role("heading", name="lea")).to_be_visible()
    expect(window.hook("password-elsewhere")).to_contain_text("Supabase")
    assert window.hook("password-change").count() == 0
    expect(window.hook("token-make")).to_be_visible()
    assert window.nameless() == []
    assert window.faults == []


def test_an_admin_sees_who_comes_from_supabase(
    site: Site, lea: User, open_window: OpenWindow
) -> None:
    """Their password is not set here, a role holds until Supabase speaks again, and shutting out is for good."""
    assert post(site, lea.email, PASSWORD) == "/"
    window = open_window("ada")
    page = window.go("/admin?tab=users")
    row = page.locator("[data-user=lea]")
    expect(row.get_by_test_id("user-source")).to_have_text("Supabase")
    assert row.get_by_test_id("user-password").count() == 0
    expect(page.locator("[data-user=ada]").get_by_test_id("user-password")).to_be_visible()
    row.get_by_test_id("user-role").click()
    page.get_by_role("option", name="Operator").click()
    expect(page.get_by_text("until Supabase says otherwise")).to_be_visible()
    expect(page.get_by_text("has the role that Supabase says")).to_be_visible()
    assert window.faults == []


def post(site: Site, email: str, password: str, to: str = "/") -> str:
    """The form as it is sent without a script; where it leads."""
    parts = urlsplit(site.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    body = urlencode({"username": email, "password": password, "to": to})
    connection.request(
        "POST", "/sign-in", body, {"Content-Type": "application/x-www-form-urlencoded"}
    )
    answer = connection.getresponse()
    has_cookie = "reelyard_session=" in (answer.headers["set-cookie"] or "")
    place = answer.headers["location"]
    connection.close()
    assert answer.status == 303
    assert has_cookie == (not place.startswith("/sign-in"))
    return str(place)


def test_the_form_says_why_somebody_is_not_let_in(site: Site, supabase: SupabaseAuth) -> None:
    """Each reason in words, and the page that was wanted is not forgotten."""
    supabase.add("new@example.com", is_confirmed=False)
    supabase.add("out@example.com", is_banned=True)
    supabase.add("safe@example.com", factors=[{"factor_type": "totp", "status": "verified"}])
    told = {name: reason(post(site, f"{name}@example.com", PASSWORD, "/queue"))
            for name in ("new", "out", "safe", "nobody")}  # fmt: skip
    assert told == {
        "new": "unconfirmed", "out": "banned", "safe": "second-factor", "nobody": "wrong",
    }  # fmt: skip
    supabase.faults = [(503, b"", {})]
    assert reason(post(site, "new@example.com", PASSWORD, "/queue")) == "supabase"
    supabase.faults = [(429, b"{}", {})]
    assert reason(post(site, "new@example.com", PASSWORD, "/queue")) == "often"


def reason(place: str) -> str:
    found = parse_qs(urlsplit(place).query)
    assert found["to"] == ["/queue"]
    return found["why"][0]


def test_the_words_for_each_reason_are_on_the_page(site: Site, open_window: OpenWindow) -> None:
    window = open_window()
    page = window.page
    for why, words in (("unconfirmed", "Follow the link in the email"), ("supabase", "Supabase can't be asked"),
                       ("second-factor", "second factor"), ("out", "shut out"), ("captcha", "captcha")):  # fmt: skip
        page.goto(f"{site.url}/sign-in?why={why}")
        expect(page.get_by_role("alert")).to_contain_text(words)
    page.goto(f"{site.url}/sign-in?why=%3Cscript%3E")
    assert page.get_by_role("alert").count() == 0
