"""A segment and what is known of it in one file, so that a store has both or neither.

the bytes, the note (JSON: name, size, SHA-256, facts, and a seal of these), how long the note is, a mark
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import atomic

_MARK = b"reelyard-segment-1"
_LENGTH_BYTES = 8
_TAIL = _LENGTH_BYTES + len(_MARK)
_LONGEST_NOTE = 16 << 20


def _seal(note: Mapping[str, Any]) -> str:
    """A checksum of everything else in a note."""
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()


def pack(made: Path, packed: Path, key: str, suffix: str, facts: Mapping[str, Any]) -> None:
    """Write an entry: the file, and behind it what is known of it."""
    note: dict[str, Any] = {
        "name": f"{key}{suffix}",
        "size": made.stat().st_size,
        "sha256": atomic.digest(made),
        "facts": dict(facts),
    }
    note["seal"] = _seal(note)
    text = json.dumps(note).encode()
    shutil.copyfile(made, packed)
    with packed.open("ab") as file:
        file.write(text + len(text).to_bytes(_LENGTH_BYTES, "big") + _MARK)


def unpacked(part: Path, key: str, suffix: str) -> dict[str, Any] | None:
    """Cut an entry down to the file that it holds; its facts, None where it is not whole or not that one."""
    try:
        note = _note(part)
        size, facts = note["size"], note["facts"]
        whole = note.pop("seal") == _seal(note) and note["name"] == f"{key}{suffix}"
        if not whole or not isinstance(facts, dict):
            return None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    with part.open("r+b") as file:
        file.truncate(size)
    return facts if atomic.digest(part) == note["sha256"] else None


def _note(part: Path) -> dict[str, Any]:
    """Raises ValueError."""
    whole = part.stat().st_size
    with part.open("rb") as file:
        file.seek(max(0, whole - _TAIL))
        tail = file.read()
        length = int.from_bytes(tail[:_LENGTH_BYTES], "big")
        size = whole - _TAIL - length
        if tail[_LENGTH_BYTES:] != _MARK or length > _LONGEST_NOTE or size < 0:
            raise ValueError("it does not end as an entry does")
        file.seek(size)
        note = json.loads(file.read(length))
    if not isinstance(note, dict) or note.get("size") != size:
        raise ValueError("the note is of another file")
    return note
