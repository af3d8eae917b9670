"""Addresses are shown without the passwords in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.address import without_password


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("postgresql://me:secret@host/x", "postgresql://me:***@host/x"),
        ("postgresql://me:se@cret@host/x", "postgresql://me:***@host/x"),
        ("postgresql://host/x?password=secret&a=b", "postgresql://host/x?password=***&a=b"),
        ("postgresql://host/x?a=b&sslpassword=secret", "postgresql://host/x?a=b&sslpassword=***"),
        ("sqlite:////folder/farm.db", "sqlite:////folder/farm.db"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("libx264", "libx264"),
    ],
)
def test_only_passwords_are_hidden(address: str, shown: str) -> None:
    assert without_password(address) == shown


@given(st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=8))
def test_no_password_is_shown(password: str) -> None:
    hidden = without_password(f"postgresql://someone:{password}@server:5432/farm")
    assert hidden == "postgresql://someone:***@server:5432/farm"
