"""The HTTP session of Google's client, for which nothing may take for ever.

To be imported only where BigQuery is used.
"""

from __future__ import annotations

from typing import Any

from google.auth.transport.requests import AuthorizedSession

_LONGEST_ANSWER = 30.0
_SIGN_IN_SECONDS = 10


class BoundedSession(AuthorizedSession):
    """Of its own accord the client waits two minutes for some answers, and for each try to sign in."""

    def __init__(self, credentials: Any) -> None:
        super().__init__(credentials, refresh_timeout=_SIGN_IN_SECONDS)  # type: ignore[no-untyped-call]

    def request(self, method: str, url: str, **options: Any) -> Any:  # type: ignore[override]
        given = options.pop("timeout", None)
        timeout = min(given, _LONGEST_ANSWER) if isinstance(given, int | float) else _LONGEST_ANSWER
        return super().request(method, url, timeout=timeout, **options)  # type: ignore[no-untyped-call]
