"""The commands about people who may sign in."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from reelyard.domain.access import Principal, Role, Source
from reelyard.domain.errors import NotFound, printable

from .late import local_username, read_settings

if TYPE_CHECKING:
    from reelyard.services.access import Access

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]
user_app = typer.Typer(help="People who may sign in to the pages.", no_args_is_help=True)
UserName = Annotated[str, typer.Argument(help="What the person is called.", metavar="NAME")]
FromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


@user_app.command("add")
def user_add(
    name: UserName,
    role: Annotated[Role, typer.Option(help="operator, manager or admin.")] = Role.OPERATOR,
    password_stdin: FromInput = False,
) -> None:
    """Add somebody. The first one has to be an admin; from then on everybody signs in."""
    access = _access()
    made = access.add_user(_machine(), name, _password(password_stdin), role)
    sys.stdout.write(f"{printable(made.username)} may sign in as {made.role}\n")


@user_app.command("password")
def user_password(name: UserName, password_stdin: FromInput = False) -> None:
    """Give somebody another password. They are signed out everywhere."""
    access = _access()
    known = access.accounts.by_name(name)
    if known is None:
        raise NotFound(f"there is no user {printable(name)}", remedy="reelyard user list shows all")
    access.change_user(_machine(), known[0].user_id, password=_password(password_stdin))
    sys.stdout.write(f"{printable(known[0].username)} has a new password\n")


@user_app.command("list")
def user_list(as_json: AsJson = False) -> None:
    """Show everybody who may sign in, or might."""
    for one in _access().users(_machine()):
        notes = ["" if one.is_active else "shut out"]
        notes += ["from Supabase"] if one.source is Source.SUPABASE else []
        state = ", ".join(filter(None, notes))
        line = (
            json.dumps({"user_id": one.user_id, "username": printable(one.username),
                        "role": one.role, "is_active": one.is_active, "source": one.source})
            if as_json
            else f"{printable(one.username)}\t{one.role}\t{state}"
        )  # fmt: skip
        sys.stdout.write(line + "\n")


def _access() -> Access:
    from reelyard.asgi import Site

    return Site(read_settings()).access


def _machine() -> Principal:
    """Whoever can write to the database needs no account to change what is in it."""
    return Principal(user_id="", username=local_username(), role=Role.ADMIN)


def _password(from_input: bool) -> str:
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
