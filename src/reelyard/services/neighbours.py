"""What the doctor looks at outside of this machine: shares, the database's clock; and who may read the secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

from reelyard.domain.address import without_password
from reelyard.settings import Settings

from .findings import Finding, Verdict

_CLOCK_SECONDS = 5.0
_ENTRIES = 1000
_SECRETS = {"password", "secret", "supabase_jwt_secret", "token"}
_ADDRESSES = {"database_url", "redis_url"}


def mounted_share(name: str, folder: Path) -> Iterator[Finding]:
    """Whether a share that is mounted here can be listed and read."""
    what = f"share {name}"
    if not folder.is_dir():
        yield Finding(what, Verdict.FAILED, f"{folder} is not there",
                      "Mount it there, or correct its folder in REELYARD_SHARES")  # fmt: skip
        return
    count, file = 0, None
    for entry in folder.iterdir():
        count += 1
        if file is None and count <= _ENTRIES and entry.is_file():
            file = entry
    if not count:
        yield Finding(what, Verdict.NOTE, f"{folder} is empty",
                      "If it should not be: the share is not mounted there")  # fmt: skip
        return
    if file is not None:
        with file.open("rb") as opened:
            opened.read(1)
    yield Finding(what, Verdict.OK, f"at {folder}{_counted(count, file is not None)}")


def direct_share(name: str, files: AbstractFileSystem, path: str) -> Iterator[Finding]:
    """Whether a share that is reached through a connection can be listed and read."""
    entries = files.ls(path, detail=True)
    file = next((one["name"] for one in entries if one["type"] == "file"), None)
    if file is not None:
        with files.open(file, "rb") as opened:
            opened.read(1)
    counted = _counted(len(entries), file is not None)
    yield Finding(f"share {name}", Verdict.OK, f"through a connection{counted}")


def _counted(entries: int, read: bool) -> str:
    return f", {entries} entries{', one file read' if read else ''}"


def clock(theirs: datetime, before: datetime, after: datetime) -> Finding:
    """How far this machine's clock is from the database's, which was read between two looks at ours."""
    slack = (after - before).total_seconds() / 2
    ahead = (before + (after - before) / 2 - theirs).total_seconds()
    if abs(ahead) <= _CLOCK_SECONDS + slack:
        return Finding("clock", Verdict.OK, "that of the database, within seconds")
    return Finding("clock", Verdict.NOTE,
                   f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the database's",
                   "Have the system set it by NTP: tokens, S3 and domain accounts fail by wrong clocks")  # fmt: skip


def exposed_secrets(
    settings: Settings,
    file: Path | None,
    written: Mapping[str, Any],
    exposed_to: Callable[[Path], str | None],
    remedy: Callable[[Path], str],
) -> Iterator[Finding]:
    """Files with secrets in them that others may read. ``written`` is what ``file``, that of the settings, says."""
    kept = [path for path in _secret_files(settings) if path.exists()]
    if file is not None and holds_secrets(written):
        kept.append(file)
    for path in kept:
        who = exposed_to(path)
        if who is not None:
            yield Finding("secrets", Verdict.NOTE, f"{path} can be read by {who}", remedy(path))


def _secret_files(settings: Settings) -> Iterable[Path]:
    named = (settings.bigquery_credentials, settings.tls_key)
    return [path for path in (*named, *(row.password_file for row in settings.shares)) if path]


def holds_secrets(written: Any) -> bool:
    """Whether there is a password or a key in what a file of settings says."""
    if isinstance(written, Mapping):
        return any(
            _is_secret(name, value) or holds_secrets(value) for name, value in written.items()
        )
    return isinstance(written, list) and any(map(holds_secrets, written))


def _is_secret(name: str, value: Any) -> bool:
    if name in _ADDRESSES:
        return isinstance(value, str) and without_password(value) != value
    return name in _SECRETS and bool(value)
