"""Films on shares that the server reaches through a connection: handed on as they are read, whole or one range.

No more than a block of a film is in memory, and nothing is read that was not asked for. Several ranges at once are
answered with the whole film, which the standard (RFC 9110) allows.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import quote

from anyio import CancelScope, to_thread
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from reelyard.files.distant import DistantPath
from reelyard.files.places import Identity

_LOG = logging.getLogger(__name__)
_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file: the first and how many."""

    start: int
    length: int


class NotThere(ValueError):
    """A range that begins after the end."""


def wanted(text: str | None, size: int) -> Part | None:
    """The range that a header asks for; None for the whole file. Raises NotThere."""
    found = _RANGE.fullmatch((text or "").strip())
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise NotThere
    return Part(start, end - start)


def streamed(
    film: DistantPath,
    found: Identity,
    request: Request,
    media_type: str,
    name: str | None,
) -> Response:
    """What is asked for of a file that is this version just now. Nothing is read for who wants the head alone."""
    headers = request.headers
    own = _headers(found, name)
    asked = headers.get("range")
    if headers.get("if-range") not in (None, own["etag"], own.get("last-modified")):
        asked = None
    try:
        part = wanted(asked, found.size)
    except NotThere:
        return Response(status_code=416, headers={"content-range": f"bytes */{found.size}"})
    if part is not None:
        end = part.start + part.length - 1
        own["content-range"] = f"bytes {part.start}-{end}/{found.size}"
    sent = part or Part(0, found.size)
    own["content-length"] = str(sent.length)
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, media_type=media_type, headers=own)
    return StreamingResponse(
        _blocks(film, sent), status_code=status, media_type=media_type, headers=own
    )


def _headers(found: Identity, name: str | None) -> dict[str, str]:
    version = hashlib.sha256(f"{found.size} {found.version}".encode()).hexdigest()[:32]
    own = {"accept-ranges": "bytes", "etag": f'"{version}"', "cache-control": "private, no-cache"}
    if found.modified is not None:
        own["last-modified"] = formatdate(found.modified / 1e9, usegmt=True)
    if name is not None:
        plain = quote(name) == name
        shown = f'filename="{name}"' if plain else f"filename*=utf-8''{quote(name)}"
        own["content-disposition"] = f"inline; {shown}"
    return own


async def _blocks(film: DistantPath, part: Part) -> AsyncIterator[bytes]:
    """Read in threads, one block at a time, as fast as they are taken."""
    blocks = film.read(part.start, part.length)
    left = part.length
    try:
        while left and (data := await to_thread.run_sync(lambda: next(blocks, b""))):
            left -= len(data)
            yield data
    except OSError as error:
        _LOG.warning("%s could not be sent whole: %s", film, error.strerror or error)
        raise
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(blocks.close)
