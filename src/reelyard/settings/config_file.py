"""The file that settings are read from."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from reelyard.domain.errors import SettingsInvalid


def config_file() -> Path | None:
    """The file that settings are read from, if there is one. Raises SettingsInvalid."""
    named = os.environ.get("REELYARD_CONFIG")
    if named:
        path = Path(named).expanduser().absolute()
        if not _is_there(path):
            raise SettingsInvalid(f"there is no file {path}", remedy="Correct REELYARD_CONFIG")
        return path
    folder = (
        Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData"))
        if sys.platform == "win32"
        else Path("/etc")
    )
    path = folder / "reelyard" / "reelyard.toml"
    return path if _is_there(path) else None


def from_file(known: Collection[str]) -> dict[str, Any]:
    """What the file says, if there is one. Raises SettingsInvalid, also for a name that is not ``known``."""
    path = config_file()
    if path is None:
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except PermissionError as error:
        raise _closed(path) from error
    except (OSError, ValueError) as error:
        raise SettingsInvalid(
            f"{path} can't be read: {error}", remedy="Correct the file"
        ) from error
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise SettingsInvalid(f"{path}: {unknown[0]} is not a setting",
                              remedy="reelyard doctor shows all; use small letters and no prefix")  # fmt: skip
    return found


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError as error:
        raise _closed(path) from error


def _closed(path: Path) -> SettingsInvalid:
    """It holds the farm's passwords: most people of a machine may not read it."""
    return SettingsInvalid(
        f"{path} may not be read by this user",
        remedy="Run it as the user that the file is for, or let REELYARD_CONFIG name one of your own",
    )
