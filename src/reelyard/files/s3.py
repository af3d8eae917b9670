"""S3, as AWS and everybody else has it: what a row of the table of shares means to s3fs.

    [[shares]]
    name = "s3://clips"
    endpoint = "https://minio.lan:9000"              # where it is not Amazon's
    region = "eu-central-1"
    key = "AKIA…"                                    # without one: the machine's own account
    secret_file = "/etc/reelyard/clips.secret"

What else is in ``options`` is s3fs' own. A store that does not answer is told of within a minute. Only what it copies
itself it may take longer for: many say nothing before they have copied the whole film.

Files are read as they come, with one request for all that follows: s3fs itself asks for piece after piece, each after
the one before was used.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fsspec import AbstractFileSystem
from fsspec.asyn import sync

from .guarded import Guarded

_UPLOADING = {"chunksize": 16 << 20}  # of what is large, so much is in memory
_PAUSE_SECONDS = 0.5
_PATIENCE = {
    "connect_timeout": 5,
    "read_timeout": 15,
    "retries": {"mode": "standard", "total_max_attempts": 2},
    "max_pool_connections": 32,
}
_COPYING = {"read_timeout": 600, "retries": {"mode": "standard", "total_max_attempts": 1}}
_NOT_AMAZON = {  # not everybody knows the newer checksums
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


def file_system(
    kind: Any, user: str | None, password: str | None, options: Mapping[str, Any]
) -> Guarded:
    """A file system of the class ``kind``, which is s3fs'. Raises ValueError, TypeError."""
    settled = s3_options(user, password, options)
    made = kind(skip_instance_cache=True, **settled)
    made.retries = 2  # of its own, around those of the library below

    def patient() -> Any:
        config = {**settled["config_kwargs"], **_COPYING}
        other = kind(skip_instance_cache=True, **{**settled, "config_kwargs": config})
        other.retries = 1
        return other

    return Guarded(made, settled, _UPLOADING, S3Stream, patient)


def s3_options(
    user: str | None, password: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What s3fs is made with. Raises ValueError."""
    given = dict(options)
    config = {**_PATIENCE, **given.pop("config_kwargs", {})}
    client = dict(given.pop("client_kwargs", {}))
    if (endpoint := given.pop("endpoint", None)) is not None:
        given["endpoint_url"] = _address(endpoint)
        config = {**_NOT_AMAZON, **config}
    if (region := given.pop("region", None)) is not None:
        client["region_name"] = region
    if (user is None) != (password is None):
        raise ValueError("user is the access key, password the secret one: give both, or none")
    if user is not None:
        given["key"], given["secret"] = user, password
    return {
        "use_listings_cache": False,  # others write there as well
        "fixed_upload_size": True,  # Cloudflare's R2 wants it, and nobody minds
        "max_concurrency": 1,  # otherwise it holds as many large pieces in memory
        **given,
        "config_kwargs": config,
        "client_kwargs": client,
    }


def _address(text: object) -> str:
    parts = urlsplit(text) if isinstance(text, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("endpoint is no address: write https://host:port")
    if parts.username or parts.password:
        raise ValueError("endpoint holds a user's name: that belongs into user and password")
    return str(text).rstrip("/")


class S3Stream:
    """An object of an s3fs, read from any place on. A connection that breaks is made anew a few times."""

    _TRIES = 3

    def __init__(self, fs: AbstractFileSystem, path: str) -> None:
        self._fs = fs
        self._bucket, self._key, _ = fs.split_path(path)
        self._at = 0
        self._body: Any = None
        self._version: str | None = None

    def seek(self, offset: int, _whence: int = 0) -> int:
        if offset != self._at:
            self.close()
            self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def read(self, length: int) -> bytes:
        """So many bytes, fewer only at the end."""
        tries_left = self._TRIES
        while True:
            if self._body is None and not self._open():
                return b""
            try:
                data: bytes = sync(self._fs.loop, _read, self._body, length)
            except Exception:  # whatever aiohttp or botocore call it
                self.close()
                tries_left -= 1
                if not tries_left:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                self._at += len(data)
                return data

    def close(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            sync(self._fs.loop, _close, body)

    def _open(self) -> bool:
        """Ask for all that follows; whether there is anything."""
        try:
            answer = self._fs.call_s3(
                "get_object", Bucket=self._bucket, Key=self._key, Range=f"bytes={self._at}-"
            )
        except OSError as error:
            if "range" in str(error).lower():  # the end, or an empty object
                return False
            raise
        self._body, version = answer["Body"], answer.get("ETag")
        if self._version not in (None, version):
            self.close()
            raise OSError(errno.EBUSY, "It changed while it was read")
        self._version = version
        return True


async def _read(body: Any, length: int) -> bytes:
    pieces, missing = [], length
    while missing and (piece := await body.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


async def _close(body: Any) -> None:
    body.close()
