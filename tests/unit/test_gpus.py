"""Which graphics cards there are, as the system tells it, and which one a process uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelyard.domain.errors import SettingsInvalid
from reelyard.engine.gpus import Gpu, chosen_gpu, find_gpus, from_proc, from_smi, visible

LISTED = """\
1, NVIDIA GeForce GTX 1650, GPU-bbbb-2, 615.10
0, NVIDIA GeForce RTX 4070, GPU-aaaa-1, 615.10
"""
STRONG = Gpu(0, "NVIDIA GeForce RTX 4070", "GPU-aaaa-1", "615.10")
WEAK = Gpu(1, "NVIDIA GeForce GTX 1650", "GPU-bbbb-2", "615.10")
BOTH = (STRONG, WEAK)

VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  615.10  Tue Oct  1 05:01:02 UTC 2026\nGCC version: gcc 14\n"
SHEET = "Model: \t\t NVIDIA GeForce RTX 4070\nIRQ:   \t\t 80\nGPU UUID: \t {uuid}\nBus Location: \t 0000:01:00.0\n"


def test_cards_are_read_off_nvidia_smi_in_the_order_of_their_numbers() -> None:
    assert from_smi(LISTED) == BOTH


def test_what_is_no_list_of_cards_is_none() -> None:
    assert from_smi("No devices were found\n") == ()
    assert (
        from_smi("NVIDIA-SMI has failed because it couldn't communicate, with, the, driver\n") == ()
    )


def driver_files(folder: Path, *uuids: str) -> Path:
    for number, uuid in enumerate(uuids, 1):
        sheet = folder / "gpus" / f"0000:0{number}:00.0" / "information"
        sheet.parent.mkdir(parents=True)
        sheet.write_text(SHEET.format(uuid=uuid))
    (folder / "version").write_text(VERSION)
    return folder


def test_cards_are_read_off_linuxs_driver_where_there_is_no_nvidia_smi(tmp_path: Path) -> None:
    proc = driver_files(tmp_path, "GPU-aaaa-1", "GPU-????????-????")
    first, second = from_proc(proc)
    assert first == STRONG
    assert (second.index, second.uuid) == (1, "")  # the driver tells it only while the card is used


def test_a_machine_without_a_card_has_none(tmp_path: Path) -> None:
    assert from_proc(tmp_path) == ()
    assert find_gpus(tmp_path, {}) == ()


def test_nothing_in_the_folder_that_one_is_in_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody unpacks clips from elsewhere, goes there and runs reelyard."""
    folder = tmp_path / "NVIDIA Corporation" / "NVSMI"
    folder.mkdir(parents=True)
    tool = folder / "nvidia-smi.exe"
    tool.write_text("#!/bin/sh\necho 0, Trojan, GPU-1, 1.0\n")
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_gpus(tmp_path, {}) == ()
    assert [one.name for one in find_gpus(tmp_path, {"PROGRAMFILES": str(tmp_path)})] == ["Trojan"]


def test_a_process_is_bound_to_one_card_by_its_environment() -> None:
    assert WEAK.binding == {"CUDA_VISIBLE_DEVICES": "GPU-bbbb-2", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert Gpu(1, "x", "", "1").binding["CUDA_VISIBLE_DEVICES"] == "1"


def test_two_equal_cards_are_one_model_and_two_identities() -> None:
    twin = Gpu(1, STRONG.name, "GPU-cccc-3", STRONG.driver)
    assert twin.model == STRONG.model == "NVIDIA GeForce RTX 4070, driver 615.10"
    assert twin.identity != STRONG.identity


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        (None, BOTH),
        ("1,0", (WEAK, STRONG)),
        ("GPU-bbbb", (WEAK,)),
        ("GPU-aaaa-1", (STRONG,)),
        ("-1", ()),
        ("", ()),
        ("0,7,1", (STRONG,)),
    ],
)
def test_a_process_that_is_bound_already_sees_its_own_cards(
    named: str | None, seen: tuple[Gpu, ...]
) -> None:
    """As the driver takes it: what follows a name that is wrong is not seen."""
    assert visible(BOTH, named) == seen


def test_the_setting_chooses_by_number_and_otherwise_the_first() -> None:
    assert chosen_gpu(BOTH, None) == STRONG
    assert chosen_gpu(BOTH, "1") == WEAK
    assert chosen_gpu(BOTH, "none") is None
    assert chosen_gpu((), None) is None


def test_a_card_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(
        SettingsInvalid, match=r"no graphics card 3 here; there is: 0 \(NVIDIA GeForce RTX 4070\)"
    ):
        chosen_gpu(BOTH, "3")
