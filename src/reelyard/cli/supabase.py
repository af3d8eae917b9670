"""The command about Supabase."""

from __future__ import annotations

import sys

from .late import make_reelyard, read_settings


def supabase() -> None:
    """Guard the tables of a database on Supabase: after a move there, or when the doctor says so."""
    from reelyard.store.supabase import Supabase

    project = Supabase(make_reelyard(read_settings()).database)
    before = project.shortcomings()
    if not project.apply():
        sys.stdout.write("the database is not on Supabase: there is nothing to do\n")
        return
    for words in before:
        sys.stdout.write(f"was so: {words}\n")
    sys.stdout.write("everybody sees what is theirs, users have names, jobs are published\n")
