"""What object stores do in their own way: no renaming, copies that the store makes, uploads in parts.

fsspec's own ways of doing these look for patterns in names, or copy in pieces long before they have to.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import PurePosixPath
from typing import Any

from fsspec import AbstractFileSystem

from .guarded import Guarded

_COPIED_AT_ONCE = 5 << 30  # S3's own limit
_PIECE = 256 << 20


def _driver(files: AbstractFileSystem) -> AbstractFileSystem:
    return files.driver if isinstance(files, Guarded) else files


def is_store(files: AbstractFileSystem) -> bool:
    """Whether it has fsspec's own way to move a file: copy and delete."""
    return type(_driver(files)).mv is AbstractFileSystem.mv


def is_s3(files: AbstractFileSystem) -> bool:
    return hasattr(_driver(files), "call_s3")


def s3_call(files: AbstractFileSystem, method: str, **arguments: Any) -> Mapping[str, Any]:
    """One call of S3's own API."""
    with _told(files, arguments["Bucket"]):
        answer: Mapping[str, Any] = _driver(files).call_s3(method, **arguments)
    return answer


def _told(files: AbstractFileSystem, path: str) -> AbstractContextManager[None]:
    return files.told(path) if isinstance(files, Guarded) else nullcontext()


def content_type(files: AbstractFileSystem, path: str) -> Mapping[str, str]:
    """A store says what kind of file it is when it hands it out, to a browser say."""
    kind = mimetypes.guess_type(PurePosixPath(path).name)[0]
    return {"ContentType": kind} if kind and is_s3(files) else {}


def copy_object(files: AbstractFileSystem, old: str, new: str) -> None:
    files.invalidate_cache()
    if not is_s3(files):
        files.cp_file(old, new)
        return
    driver = files.patient_driver if isinstance(files, Guarded) else files
    size = files.info(old)["size"]
    with _told(files, old):
        if size > _COPIED_AT_ONCE:
            driver.cp_file(old, new, block=_PIECE, **content_type(files, new))
        else:  # s3fs' cp_file copies in pieces long before it has to
            source = dict(zip(("Bucket", "Key"), _bucket_and_key(old), strict=True))
            bucket, key = _bucket_and_key(new)
            driver.call_s3("copy_object", Bucket=bucket, Key=key, CopySource=source)
    files.invalidate_cache()


def unfinished_uploads(files: AbstractFileSystem, start: str) -> list[tuple[tuple[str, str], str]]:
    """Uploads to S3 that were begun and not completed: bucket and key, and the upload's id."""
    if not is_s3(files):
        return []
    bucket, key = _bucket_and_key(start)
    try:
        found = s3_call(files, "list_multipart_uploads", Bucket=bucket, Prefix=key)
    except OSError:
        return []  # not every store can tell, or tells everybody; most drop them after some days
    listed = found.get("Uploads") or []
    return [((bucket, one["Key"]), one["UploadId"]) for one in listed
            if one["Key"].startswith(key)]  # fmt: skip


def abort_uploads(files: AbstractFileSystem, start: str, *, whole: bool = False) -> None:
    """Abort uploads to names that begin so, or to this ``whole`` name."""
    for (bucket, key), upload in unfinished_uploads(files, start):
        if not whole or f"{bucket}/{key}" == start:
            with suppress(FileNotFoundError):  # it was completed or aborted just now
                s3_call(files, "abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload)


def _bucket_and_key(path: str) -> tuple[str, str]:
    bucket, _, key = path.partition("/")
    return bucket, key
