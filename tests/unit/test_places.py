"""Which files are remote, and what tells one version of a file from another."""

from __future__ import annotations

import os
import string
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import example, given
from hypothesis import strategies as st

from reelyard.files.places import Identity, Places, Source


def mounts(folder: Path, *rows: str) -> Path:
    """A list of mounted file systems as the system has it, of ``TYPE POINT`` rows."""
    path = folder / "mounts"
    lines = []
    for row in rows:
        kind, _, point = row.partition(" ")
        lines.append(f"device {point} {kind} rw,relatime 0 0\n")
    path.write_text("".join(lines))
    return path


def is_remote(places: Places, path: str | Path) -> bool:
    return places.remote(str(path)) is not None


@pytest.mark.parametrize(
    "kind",
    [
        "cifs",
        "smb3",
        "smbfs",
        "nfs",
        "nfs4",
        "fuse.sshfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "davfs",
        "fuse.rclone",
        "fuse.s3fs",
    ],
)
def test_a_file_on_a_network_file_system_is_remote(tmp_path: Path, kind: str) -> None:
    places = Places(mounts=mounts(tmp_path, "ext4 /", f"{kind} /no-such/nas"))
    source = places.remote("/no-such/nas/clips/a.mp4")
    assert source is not None
    assert (source.path, source.named) == ("/no-such/nas/clips/a.mp4",) * 2
    assert isinstance(source.fs, LocalFileSystem)
    assert not is_remote(places, "/no-such/nas2/a.mp4")
    assert not is_remote(places, "/no-such/a.mp4")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuse.mergerfs", ""])
def test_a_file_on_a_disk_is_used_where_it_is(tmp_path: Path, kind: str) -> None:
    places = Places(mounts=mounts(tmp_path, "nfs4 /", f"{kind} /no-such/disk"))
    assert is_remote(places, "/no-such/a.mp4")
    assert not is_remote(places, "/no-such/disk/a.mp4")


def test_this_machines_own_list_is_read() -> None:
    if not Path("/proc/mounts").exists():
        pytest.skip("Linux only")
    assert Places().remote("/proc/self/status") is None
    assert is_remote(Places([Path("/proc/self")]), f"/proc/{os.getpid()}/status")


def test_the_innermost_mount_point_decides_and_on_one_point_the_latest(tmp_path: Path) -> None:
    rows = ("nfs /no-such/a/b", "ext4 /", "cifs /no-such", "ext4 /no-such/a", "nfs /c", "ext4 /c")
    places = Places(mounts=mounts(tmp_path, *rows))
    remote = ["/no-such/x", "/no-such/a/b/x", "/no-such/a/b"]
    local = ["/no-such/a/x", "/no-such/a", "/c/x", "/elsewhere"]
    assert [path for path in remote + local if is_remote(places, path)] == remote


def test_escapes_in_mount_points(tmp_path: Path) -> None:
    rows = (r"nfs /no-such/two\040words", r"nfs /no-such/line\012tab\011back\134slash\134040")
    places = Places(mounts=mounts(tmp_path, *rows))
    assert is_remote(places, "/no-such/two words/a.mp4")
    assert is_remote(places, "/no-such/line\ntab\tback\\slash\\040/a.mp4")
    assert not is_remote(places, r"/no-such/two\040words/a.mp4")


PARTS = st.sampled_from(
    ["a", "b", "a b", "a\nb", "a\tb", "a\\b", "a\rb", "a\x0bb", "\\040", "ä", "\udcff", "#"]
)
PATHS = st.lists(PARTS, max_size=4).map(lambda parts: "/" + "/".join(["no-such-root", *parts]))


def escaped(path: str) -> bytes:
    """A mount point as Linux writes it."""
    raw = os.fsencode(path)
    return b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte]) for byte in raw)


@given(table=st.lists(st.tuples(PATHS, st.sampled_from(["ext4", "nfs4"])), max_size=6), path=PATHS)
def test_the_longest_prefix_of_whole_names_decides(table: list[tuple[str, str]], path: str) -> None:
    rows = [b"d " + escaped(point) + b" " + kind.encode() + b" rw 0 0\n" for point, kind in table]
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "mounts"
        listed.write_bytes(b"".join(rows))
        found = Places(mounts=listed).remote(path)
    names = path.split("/")
    above = [(len(point.split("/")), at, kind) for at, (point, kind) in enumerate(table)
             if names[: len(point.split("/"))] == point.split("/")]  # fmt: skip
    assert (found is not None) == (bool(above) and max(above)[2] == "nfs4")
    assert found is None or found.path == path


@given(roots=st.lists(PATHS, max_size=3), path=PATHS)
def test_under_a_root_means_by_whole_names(roots: list[str], path: str) -> None:
    names = path.split("/")
    under = any(names[: len(root.split("/"))] == root.split("/") for root in roots)
    assert is_remote(Places([Path(root) for root in roots], Path("/no/mounts")), path) == under


def test_roots_count_as_written_and_with_links_resolved(tmp_path: Path) -> None:
    nas, disk = tmp_path / "nas", tmp_path / "disk"
    nas.mkdir()
    disk.mkdir()
    (disk / "to-nas").symlink_to(nas)
    (nas / "to-disk").symlink_to(disk)
    nowhere = tmp_path / "no-mounts"
    for root in (
        nas,
        disk / "to-nas",
        Path(os.path.relpath(nas)),
        tmp_path / "disk" / ".." / "nas",
    ):
        places = Places([root], nowhere)
        assert is_remote(places, nas / "a.mp4")
        assert is_remote(places, nas)
        assert is_remote(places, disk / "to-nas" / "a.mp4")
        assert not is_remote(places, disk / "a.mp4")
    places = Places([nas], nowhere)
    assert is_remote(places, nas / "to-disk" / "a.mp4")
    assert not is_remote(places, f"{nas}/../disk/a.mp4")
    assert is_remote(places, f"{disk}/../nas/a.mp4")
    assert is_remote(places, os.path.relpath(nas / "a.mp4"))
    assert is_remote(Places([nas], mounts(tmp_path, "ext4 /")), f"/{nas}/to-disk/a.mp4")
    assert is_remote(Places([Path("/")], nowhere), disk)
    assert is_remote(Places([disk / "to-nas"], nowhere), disk / "to-nas" / "to-disk" / "a.mp4")


def test_a_link_onto_a_share_is_remote_and_one_off_it_is_not(tmp_path: Path) -> None:
    nas, disk = tmp_path / "nas", tmp_path / "disk"
    nas.mkdir()
    disk.mkdir()
    (disk / "link").symlink_to(nas)
    (nas / "link").symlink_to(disk)
    places = Places(mounts=mounts(tmp_path, "ext4 /", f"cifs {nas}"))
    source = places.remote(str(disk / "link" / "a.mp4"))
    assert source and source.path == str(nas / "a.mp4")
    assert source.named == str(disk / "link" / "a.mp4")
    assert not is_remote(places, nas / "link" / "a.mp4")


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        (r"\\server\share\clip.mp4", True),
        ("//server/share/clip.mp4", True),
        (r"\\?\UNC\server\share\clip.mp4", True),
        ("//?/unc/server/share/clip.mp4", True),
        (r"\\?\C:\clip.mp4", False),
        (r"\\.\PhysicalDrive0", False),
        (r"C:\clips\clip.mp4", False),
        ("/clips/clip.mp4", False),
        (r"\clips\clip.mp4", False),
        ("//", False),
        ("///clips", False),
    ],
)
def test_windows_shares_are_known_by_their_form(tmp_path: Path, path: str, remote: bool) -> None:
    source = Places(mounts=tmp_path / "none").remote(path)
    assert (source is not None) == remote
    assert source is None or source.path == path


def test_two_slashes_mean_nothing_where_there_is_a_list_of_mounts(tmp_path: Path) -> None:
    assert not is_remote(Places(mounts=mounts(tmp_path, "ext4 /")), "//server/share/clip.mp4")


@given(path=st.text(st.characters() | st.sampled_from("/\\.\0\udcff\ud800" + string.whitespace)))
@example("")
@example("\0")
@example("\ud800")
@example("x/" * 5000)
@example("y" * 5000)
def test_no_name_makes_it_stumble(path: str) -> None:
    roots = [Path("/no-such"), Path("a\0b"), Path("\ud800"), Path()]
    assert is_remote(Places([*roots, Path("/")]), path)
    for listed in ("/proc/mounts", "/no/mounts"):
        Places(roots, Path(listed)).remote(path)


def test_a_loop_of_links_is_a_name_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert is_remote(Places([tmp_path]), tmp_path / "a" / "clip.mp4")
    assert not is_remote(Places([tmp_path / "c"]), tmp_path / "a" / "clip.mp4")


def local(path: Path | str) -> Source:
    return Source(LocalFileSystem(), str(path), "my clip")


@pytest.mark.parametrize("name", ["a b.mp4", "ü.mp4", "a\nb.mp4", os.fsdecode(b"\xff.mp4")])
def test_the_identity_of_a_local_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    time = path.stat().st_mtime_ns
    first = local(path).identity()
    assert first == Identity(str(path), 5, str(time)) and first.modified == time
    os.utime(path, ns=(1, 1_600_000_000_223_456_789))
    touched = local(path).identity()
    assert touched != first
    path.write_bytes(b"1234")
    os.utime(path, ns=(1, 1_600_000_000_223_456_789))
    assert local(path).identity() not in (first, touched)


def test_what_is_no_file_has_no_identity(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        local(tmp_path / "gone").identity()
    with pytest.raises(IsADirectoryError):
        local(tmp_path).identity()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Not a regular file"):
        local(tmp_path / "pipe").identity()  # reading it would wait for ever
    for name in ("a\0b", "\ud800"):
        with pytest.raises(OSError, match="my clip"):
            local(name).identity()


def memory() -> MemoryFileSystem:
    return MemoryFileSystem(global_store=False, skip_instance_cache=True)


def test_the_identity_of_a_file_elsewhere() -> None:
    fs = memory()
    fs.pipe_file("/clips/a.mp4", b"12345")
    source = Source(fs, "/clips/a.mp4", "a.mp4")
    first = source.identity()
    assert (first.path, first.size) == ("memory:///clips/a.mp4", 5)
    assert first.version and first == source.identity()
    fs.pipe_file("/clips/a.mp4", b"54321")
    assert source.identity() != first
    with pytest.raises(FileNotFoundError):
        Source(fs, "/clips/b.mp4", "b.mp4").identity()
    with pytest.raises(IsADirectoryError):
        Source(fs, "/clips", "clips").identity()


class Listed(MemoryFileSystem):  # type: ignore[misc]
    """A file system that says of every file what the test wants, and remembers what it said."""

    cachable = False

    def __init__(self, **said: Any) -> None:
        super().__init__(global_store=False)
        self.said = said
        self.remembered: dict[str, Any] | None = None

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        self.remembered = self.remembered or {"name": path, "size": 1, "type": "file", **self.said}
        return self.remembered

    def invalidate_cache(self, path: str | None = None) -> None:
        self.remembered = None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"mtime": 1.5}, {"mtime": 1.6}),
        ({"LastModified": datetime(2026, 1, 1)}, {"LastModified": datetime(2026, 1, 2)}),  # noqa: DTZ001
        ({"ETag": "a", "mtime": 1.0}, {"ETag": "b", "mtime": 1.0}),
        ({"etag": "a"}, {"etag": "b"}),
        ({"version_id": 0}, {"version_id": 1}),
        ({"etag": "a"}, {}),
        ({"size": 2}, {"size": 3}),
    ],
)
def test_anything_that_changes_with_the_content_makes_another_version(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    source = Source(Listed(**before), "/a", "a")
    first = source.identity()
    assert source.identity() == first
    source.fs.said = after
    assert source.identity() != first, "the file system repeated what it had said before"


@pytest.mark.parametrize(
    ("said", "modified"),
    [
        ({"mtime": 1_600_000_000.5}, 1_600_000_000_500_000_000),
        ({"mtime": 1_600_000_000}, 1_600_000_000_000_000_000),
        ({"LastModified": datetime(2026, 1, 1, tzinfo=UTC)}, 1_767_225_600_000_000_000),
        ({"modified": datetime(2026, 1, 1)}, 1_767_225_600_000_000_000),  # noqa: DTZ001
        ({"modify": "20260101", "etag": "x"}, None),
        ({"modify": "20260101", "mtime": 2}, 2_000_000_000),
        ({"mtime": float("nan")}, None),
        ({"mtime": float("inf")}, None),
        ({"mtime": 10**400}, None),
        ({"mtime": -1}, None),
        ({"modified": datetime.min}, None),  # noqa: DTZ901
        ({}, None),
    ],
)
def test_when_it_was_modified_if_that_can_be_told(
    said: dict[str, Any], modified: int | None
) -> None:
    assert Source(Listed(**said), "/a", "a").identity().modified == modified


@pytest.mark.parametrize("size", [None, "5", 1.5])
def test_a_file_of_unknown_size_is_refused(size: object) -> None:
    with pytest.raises(OSError, match="my clip"):
        Source(Listed(size=size), "/a", "my clip").identity()
