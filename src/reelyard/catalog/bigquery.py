"""The connection to BigQuery: made when first used, bounded in time, its failures in words.

Google's client retries for ten minutes and waits for an answer for ever, unless it is told otherwise: all that goes
out from here is told.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import TimeoutError as WaitedTooLong
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reelyard.domain.errors import (
    BigQueryRefused,
    BigQueryUnavailable,
    ReelyardError,
    SettingsInvalid,
    printable,
)

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.auth.credentials import Credentials
    from google.cloud.bigquery import Client

_LONGEST_REASON = 300
_CALL = re.compile(
    r"^(\d{3} )?[A-Z]+ https?://\S+: "
)  # what the client puts in front of Google's words
_ROLES = ("Give Reelyard's account the roles BigQuery Job User on the project and BigQuery Data Editor on the dataset"
          " (Data Viewer for a catalogue)")  # fmt: skip
_SIGN_IN = "Let REELYARD_BIGQUERY_CREDENTIALS name a service account's key file"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for one answer, for trying again, for a statement to end."""

    answer: float
    retries: float
    statement: float

    @property
    def retry(self) -> Retry:
        """Trying again what may pass: too many requests, a server that is away, a lost answer."""
        from google.cloud.bigquery import DEFAULT_RETRY

        retry: Retry = DEFAULT_RETRY.with_timeout(self.retries)
        return retry.with_delay(initial=0.2, maximum=5.0, multiplier=2.0)


QUICK = Patience(answer=4.0, retries=5.0, statement=5.0)
"""For an examination, which somebody watches."""


class BigQuery:
    """One project. Any thread may use it; a forked process needs one of its own."""

    def __init__(
        self, project: str, credentials: Path | None = None, endpoint: str | None = None
    ) -> None:
        self.project = project
        self._credentials = credentials
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._client: Client | None = None

    @contextmanager
    def asking(self, what: str, remedy: str) -> Iterator[Client]:
        """The client, for ``what``. Failures are told in words; ``remedy`` is for what was not found or fits not.

        Raises SettingsInvalid, BigQueryUnavailable, and BigQueryRefused for what BigQuery does not take.
        """
        client = self._connected()
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        try:
            yield client
        except (GoogleAPIError, GoogleAuthError, RequestException, WaitedTooLong, OSError) as error:
            raise _failure(error, what, remedy) from error

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()  # type: ignore[no-untyped-call]

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Client:
        try:
            from google.cloud.bigquery import Client

            from .session import BoundedSession
        except ImportError as error:
            raise SettingsInvalid("BigQuery is set, and Google's library for it is not installed here",
                                  remedy="Install reelyard[bigquery], or unset REELYARD_BIGQUERY_PROJECT"
                                  " and REELYARD_CATALOGUE") from error  # fmt: skip
        account = self._account()
        session = BoundedSession(account)
        options = {"api_endpoint": self._endpoint} if self._endpoint else None
        return Client(self.project, account, _http=session, client_options=options)

    def _account(self) -> Credentials:
        from google.cloud.bigquery import Client

        if self._endpoint is not None:
            from google.auth.credentials import AnonymousCredentials

            return AnonymousCredentials()  # type: ignore[no-untyped-call]
        if self._credentials is not None:
            return _service_account(self._credentials, Client.SCOPE)
        return _machines_own(Client.SCOPE)


def _service_account(path: Path, scopes: tuple[str, ...]) -> Credentials:
    """What is in the file is never part of a message."""
    from google.oauth2.service_account import Credentials

    try:
        info = json.loads(path.read_text("utf-8"))
        if not isinstance(info, dict) or info.get("type") != "service_account":
            raise SettingsInvalid(f"{path} is no service account's key", remedy=_SIGN_IN)
        found: Credentials = Credentials.from_service_account_info(info, scopes=scopes)  # type: ignore[no-untyped-call]
        return found
    except OSError as error:
        raise SettingsInvalid(f"{path} can't be read: {error.strerror}", remedy=_SIGN_IN) from error
    except (ValueError, KeyError) as error:
        raise SettingsInvalid(f"{path} is no service account's key", remedy=_SIGN_IN) from error


def _machines_own(scopes: tuple[str, ...]) -> Credentials:
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        found: Credentials = google.auth.default(scopes=scopes)[0]
        return found
    except (GoogleAuthError, OSError) as error:
        raise SettingsInvalid("this machine has no account for BigQuery",
                              remedy=_SIGN_IN) from error  # fmt: skip


def _failure(error: Exception, what: str, remedy: str) -> ReelyardError:
    from google.api_core import exceptions as api
    from google.auth.exceptions import GoogleAuthError, TransportError

    if isinstance(error, api.RetryError) and isinstance(error.cause, Exception):
        error = error.cause
    reason = _reason(error)
    if isinstance(error, api.BadRequest):
        return BigQueryRefused(f"BigQuery does not take {what}: {reason}", remedy=remedy)
    if isinstance(error, api.NotFound):
        return BigQueryUnavailable(
            f"BigQuery lacks what is needed for {what}: {reason}", remedy=remedy
        )
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        return BigQueryUnavailable(f"signing in for {what} failed: {reason}", remedy=_SIGN_IN)
    if isinstance(error, api.Forbidden | api.Unauthorized) and not _is_quota(error):
        return BigQueryUnavailable(f"BigQuery does not allow {what}: {reason}", remedy=_ROLES)
    return BigQueryUnavailable(f"BigQuery can't be used for {what} just now: {reason}",
                               remedy="Check this machine's network; it is tried again by itself")  # fmt: skip


def _is_quota(error: Any) -> bool:
    return any(one.get("reason") in ("quotaExceeded", "rateLimitExceeded") for one in error.errors)


def _reason(error: BaseException) -> str:
    """What went wrong, on one line; of a broken connection only what the system says."""
    if isinstance(error, WaitedTooLong):
        return "it took too long"
    text = next(
        (one["message"] for one in getattr(error, "errors", ()) if one.get("message")), None
    )
    text = text or getattr(error, "message", None)
    if text is None:
        root = error
        while (inner := root.__cause__ or root.__context__) is not None:
            root = inner
        if isinstance(root, OSError) and root.strerror:
            return root.strerror.lower()
        text = str(error.args[0] if error.args else "")
    lines = _CALL.sub("", text).strip().splitlines() or [type(error).__name__]
    return printable(lines[0])[:_LONGEST_REASON].rstrip(". ")


def one_time(patience: Patience) -> dict[str, Any]:
    """How to ask for one thing of the API."""
    return {"timeout": patience.answer, "retry": patience.retry}
