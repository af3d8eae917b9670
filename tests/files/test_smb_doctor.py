"""The doctor at shares of a real Samba: what is wrong is said, each share in a line of its own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from reelyard.farm.checkup import looks
from reelyard.farm.wiring import Farm
from reelyard.services.examination import examined
from reelyard.services.findings import Verdict
from reelyard.settings import Settings
from tests.samba import SambaServer


def test_each_share_is_tried_and_told_apart(samba: SambaServer, tmp_path: Path) -> None:
    """One that works, a wrong password, no such share, nobody there; and no password is said."""

    def row(name: str, share: str, **changes: Any) -> dict[str, Any]:
        own = {
            "host": "127.0.0.1",
            "port": samba.port,
            "user": samba.user,
            "password": samba.password,
        }
        return {"name": f"//{name}/{share}", **own, **changes}

    (samba.share() / "for the doctor.mp4").write_bytes(b"x")
    settings = Settings.model_validate({
        "data_dir": tmp_path / "data", "output_dir": "//good/media/films of the doctor",
        "shares": [row("good", "media"), row("wrong", "media", password="not this one"),
                   row("missing", "nothing"), row("gone", "media", port=1)],
    })  # fmt: skip
    farm = Farm(settings)
    with closing(farm.reelyard.database):
        found = {
            one.what: one
            for one in examined(
                [one for one in looks(farm) if one.what.startswith(("share", "films"))]
            )
        }

    assert found["films"].verdict is found["share //good/media"].verdict is Verdict.OK
    assert "one file read" in found["share //good/media"].message
    for what, said in (
        ("wrong/media", "wrong password"),
        ("missing/nothing", "no share of this name"),
        ("gone/media", "refused"),
    ):
        finding = found[f"share //{what}"]
        assert finding.verdict is Verdict.FAILED and said in finding.message
        assert "REELYARD_SHARES" in finding.remedy
        assert samba.password not in repr(finding) and "not this one" not in repr(finding)
