"""What the disk and the operating system say, in words for operators."""

from __future__ import annotations

import errno

from reelyard.domain.errors import OutOfDisk, ReelyardError, StorageFailed
from reelyard.files.job_log import JobLog
from reelyard.files.publishing import Place

ROOM = 200_000_000  # bytes left free whatever a job needs


def log_failure(log: JobLog, error: ReelyardError) -> None:
    """Write down why a job ends, with FFmpeg's last words where it has any."""
    log.say(f"failed: {error}")
    for line in getattr(error, "tail", ()):
        log.say(f"  FFmpeg: {line}")


def storage_error(error: OSError) -> ReelyardError:
    """What an operating system's error means to an operator."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfDisk(f"the disk is full{where}", remedy=_ROOM_REMEDY)
    return StorageFailed(
        f"{error.strerror or error}{where}", remedy="Check the disk and its permissions"
    )


_ROOM_REMEDY = "Make room, run reelyard cache clear, or let REELYARD_CACHE_DIR name another disk"


def check_free(free: int, needs: int, folder: Place, remedy: str = _ROOM_REMEDY) -> None:
    """Raises OutOfDisk where ``folder`` has less room than a job needs, in bytes."""
    if free < needs:
        raise OutOfDisk(
            f"{folder} has {free / 1e9:.1f} GB free, and the job needs {needs / 1e9:.1f} GB",
            remedy=remedy,
        )
