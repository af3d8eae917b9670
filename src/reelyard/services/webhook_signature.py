"""Signatures of what webhooks are sent, as Standard Webhooks has them (standardwebhooks.com).

Receivers can check them with any library for that specification, or with ``verify``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from reelyard.domain.errors import RequestInvalid

_PREFIX = "whsec_"
_FEWEST_BYTES, _MOST_BYTES = 24, 64
_TOLERANCE = 300.0


def new_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> str:
    """The secret, if signatures can be made with it. Raises RequestInvalid."""
    key = _key(secret)
    if key is None or not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise RequestInvalid(
            "this is no webhook secret",
            remedy=f"Write {_PREFIX} and {_FEWEST_BYTES} to {_MOST_BYTES} random bytes in base64, "
            "or leave it out",
            field="secret",
        )
    return secret


def sign(secret: str, timestamp: int, name: str, body: bytes) -> str:
    """``v1,`` and the HMAC-SHA256 of the delivery's name, time and body."""
    key = _key(secret)
    if key is None:
        raise ValueError("a webhook's secret is no base64")
    signed = f"{name}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def signed_headers(secret: str, timestamp: int, name: str, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, timestamp, name, body),
    }


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    tolerance: float = _TOLERANCE,
) -> bool:
    """Whether this was sent by who knows the secret, and within so many seconds of ``now``."""
    given = {name.lower(): value for name, value in headers.items()}
    name, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()) or abs(now - int(stamp)) > tolerance:
        return False
    expected = sign(secret, int(stamp), name, body).encode()
    signatures = given.get("webhook-signature", "").split(" ")
    # All are compared: how long it takes says nothing.
    return any([hmac.compare_digest(expected, one.encode()) for one in signatures])


def _key(secret: str) -> bytes | None:
    """The bytes that a secret stands for; None if it is none."""
    if not secret.startswith(_PREFIX):
        return None
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
