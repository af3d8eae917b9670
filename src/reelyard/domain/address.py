"""Addresses of databases and brokers, as they may be shown."""

from __future__ import annotations

import re

_USERS = re.compile(
    r"(://[^:/@]*:).*(?=@)"
)  # to the last @: an unescaped one belongs to the password
_PARAMETERS = re.compile(r"([?&][a-z_]*pass(?:word|wd|file)?=)[^&]*", re.IGNORECASE)


def without_password(address: str) -> str:
    """The address with every password in it hidden."""
    return _PARAMETERS.sub(r"\1***", _USERS.sub(r"\1***", address))
