"""What is asked of an SMB server, in as few messages as it takes.

Opening, doing one thing and closing again travel as one message. Each call is made on a file that is
not open yet, and raises what smbprotocol raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from smbprotocol.exceptions import NoMoreFiles, NoSuchFile
from smbprotocol.file_info import (
    FileAttributes,
    FileDispositionInformation,
    FileFsFullSizeInformation,
    FileInformationClass,
    FileRenameInformation,
)
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    DirectoryAccessMask,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    Open,
    QueryDirectoryFlags,
    ShareAccess,
    SMB2QueryInfoRequest,
    SMB2QueryInfoResponse,
    SMB2SetInfoRequest,
    SMB2SetInfoResponse,
)

from .smb_link import Link

Info = dict[str, Any]
Asked = tuple[Any, Any]

_LISTED_AT_ONCE = 1 << 16
_EVERYBODY = (
    ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE
)
_LOOK = FilePipePrinterAccessMask.FILE_READ_ATTRIBUTES
_READ = FilePipePrinterAccessMask.FILE_READ_DATA | _LOOK
_WRITE = FilePipePrinterAccessMask.FILE_WRITE_DATA | _LOOK
_DELETE = FilePipePrinterAccessMask.DELETE
_LIST = DirectoryAccessMask.FILE_LIST_DIRECTORY | DirectoryAccessMask.FILE_READ_ATTRIBUTES
_A_FILE = CreateOptions.FILE_NON_DIRECTORY_FILE
_A_FOLDER = CreateOptions.FILE_DIRECTORY_FILE


def look(path: str, link: Link, file: Open) -> Info:
    """What there is to know about a file or a folder, in fsspec's words."""
    link.together(file, _create(file, _LOOK), file.close(send=False))
    return _info(path, file.end_of_file, file.file_attributes, file.last_write_time)


def listed(path: str, link: Link, file: Open) -> list[Info]:
    """The same about everything in a folder."""
    link.together(file, _create(file, _LIST, options=_A_FOLDER))
    try:
        entries = list(_entries(file))
    finally:
        file.close()
    found = []
    for entry in entries:
        name = entry["file_name"].get_value().decode("utf-16-le", "surrogatepass")
        if name not in (".", ".."):
            values = [entry[key].get_value() for key in _ENTRY]
            found.append(_info(f"{path}/{name}", *values))
    return sorted(found, key=lambda info: str(info["name"]))


def open_to_read(link: Link, file: Open) -> None:
    """Others may go on writing, renaming and removing it."""
    link.together(file, _create(file, _READ, options=_A_FILE))


def open_to_write(link: Link, file: Open, *, new: bool) -> None:
    """Make it, or empty the one that is there."""
    what = CreateDisposition.FILE_CREATE if new else CreateDisposition.FILE_OVERWRITE_IF
    link.together(file, _create(file, _WRITE, what, _A_FILE))


def make_folder(link: Link, file: Open) -> None:
    made = _create(file, _LIST, CreateDisposition.FILE_CREATE, _A_FOLDER)
    link.together(file, made, file.close(send=False))


def remove(link: Link, file: Open, *, folder: bool) -> None:
    """Remove a file, or a folder that is empty."""
    gone = FileDispositionInformation()
    gone["delete_pending"] = True
    _change(link, file, gone, _A_FOLDER if folder else _A_FILE)


def rename(link: Link, file: Open, target: str, *, over: bool) -> None:
    """Give it another name in its share; what has that name already stays, or goes in the same moment."""
    name = FileRenameInformation()
    name["replace_if_exists"] = over
    name["file_name"] = target
    _change(link, file, name, 0)


def free_bytes(link: Link, file: Open) -> int:
    """What the user may still write to the file's share."""
    message = SMB2QueryInfoRequest()
    message["info_type"] = FileFsFullSizeInformation.INFO_TYPE
    message["file_info_class"] = FileFsFullSizeInformation.INFO_CLASS
    message["file_id"] = file.file_id
    message["output_buffer_length"] = len(FileFsFullSizeInformation())

    def answered(request: Any) -> Any:
        answer = SMB2QueryInfoResponse()
        answer.unpack(link.connection.receive(request)["data"].get_value())
        return answer.parse_buffer(FileFsFullSizeInformation)

    answers = link.together(file, _create(file, _LOOK), (message, answered), file.close(send=False))
    size = {key: field.get_value() for key, field in answers[1].fields.items()}
    units = size["caller_available_units"]
    return int(units * size["sectors_per_unit"] * size["bytes_per_sector"])


def _change(link: Link, file: Open, info: Any, options: int) -> None:
    created = _create(
        file, _DELETE | _LOOK, options=options | CreateOptions.FILE_OPEN_REPARSE_POINT
    )
    link.together(file, created, _set(link, file, info), file.close(send=False))


def _create(
    file: Open, access: int, what: int = CreateDisposition.FILE_OPEN, options: int = 0
) -> Asked:
    asked: Asked = file.create(
        ImpersonationLevel.Impersonation, access, 0, _EVERYBODY, what, options, send=False
    )
    return asked


def _set(link: Link, file: Open, info: Any) -> Asked:
    message = SMB2SetInfoRequest()
    message["info_type"] = info.INFO_TYPE
    message["file_info_class"] = info.INFO_CLASS
    message["file_id"] = file.file_id
    message["buffer"] = info

    def answered(request: Any) -> Any:
        answer = SMB2SetInfoResponse()
        answer.unpack(link.connection.receive(request)["data"].get_value())
        return answer

    return message, answered


def _entries(file: Open) -> Iterator[Any]:
    flags = QueryDirectoryFlags.SMB2_RESTART_SCANS
    while True:
        try:
            yield from file.query_directory(
                "*",
                FileInformationClass.FILE_DIRECTORY_INFORMATION,
                flags,
                max_output=_LISTED_AT_ONCE,
            )
        except (NoMoreFiles, NoSuchFile):
            return
        flags = 0


_ENTRY = ("end_of_file", "file_attributes", "last_write_time")


def _info(path: str, size: int, attributes: int, modified: datetime) -> Info:
    """``mtime`` is in seconds since 1970.

    When a file was made is left out: Samba works it out from the other times, the one of the last
    reading among them, so it changes with nobody writing.
    """
    folder = bool(attributes & FileAttributes.FILE_ATTRIBUTE_DIRECTORY)
    return {
        "name": path,
        "size": 0 if folder else size,
        "type": "directory" if folder else "file",
        "mtime": modified.timestamp(),
        "modified": modified,
    }
