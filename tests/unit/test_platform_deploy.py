"""What is shipped for installing a farm: it is read as systemd, WinSW, Compose and Reelyard itself read it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from reelyard.api import health
from reelyard.cli.main import app
from reelyard.settings import Settings, read_settings
from reelyard.settings.shares import ShareSetting

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
EXAMPLE = DEPLOY / "reelyard.example.toml"
UNITS = DEPLOY / "systemd"
WORKER_ENDS_WITHIN = 20
_SET = re.compile(r"^(?:# )?([a-z0-9_]+) = ", re.MULTILINE)
_OR = {"password_file": "password"}
"""What can't be set beside another."""


def commented_in(text: str) -> str:
    """Everything that is commented out as an example, in force."""
    return re.sub(r"^# (?=[a-z0-9_]+ = |\[\[)", "", text, flags=re.MULTILINE)


def test_the_example_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through REELYARD_CONFIG, as a machine of the farm reads it."""
    for name in ("CACHE_DIR", "LOG_DIR"):
        monkeypatch.delenv(f"REELYARD_{name}")
    monkeypatch.setenv("REELYARD_CONFIG", str(EXAMPLE))
    settings = read_settings()

    assert settings.cache_dir == Path("/var/cache/reelyard")
    assert settings.share_table.locate(r"Z:\a.mp4") == "/mnt/videos/a.mp4"
    assert settings.outputs == "//media/videos/films"


def test_the_example_has_every_setting_and_no_other() -> None:
    top, *tables = EXAMPLE.read_text().split("[[shares]]")

    assert {*_SET.findall(top), "shares"} == set(Settings.model_fields)
    assert set(_SET.findall("".join(tables))) == set(ShareSetting.model_fields)


def test_every_example_in_it_is_a_valid_value() -> None:
    """Whoever takes the # away has something that works, or is told which of two to leave out."""
    lines = commented_in(EXAMPLE.read_text()).splitlines()
    kept = [line for line in lines if not line.startswith("password_file = '/etc/reelyard/media")]
    settings = Settings.model_validate(tomllib.loads("\n".join(kept)))

    assert settings.gpu_sessions == 3 and settings.upload_limit_gb == 20
    assert [row.name for row in settings.shares] == ["//media/videos", "s3://clips"]


def test_defaults_in_it_are_the_defaults() -> None:
    written = tomllib.loads(commented_in(EXAMPLE.read_text()).split("[[shares]]")[0])
    told = {"cache_limit_gb", "copy_limit_gb", "lease_seconds", "wait_hours", "catalogue", "port",
            "stall_seconds", "upload_limit_gb", "requests_per_minute", "segment_store_limit_gb",
            "bigquery_dataset", "bigquery_results_table", "bigquery_catalogue_table",
            "bigquery_video_id_column", "bigquery_path_column", "gpu_filters", "gpu_sessions"}  # fmt: skip

    assert {name: written[name] for name in told} == {
        name: Settings.model_fields[name].default for name in told
    }


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """What our command line makes of arguments; they are not run."""
    group = get_command(app)
    command = group.commands[arguments[0]]  # type: ignore[attr-defined]
    return arguments[0], command.make_context(arguments[0], list(arguments[1:])).params


def options(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def test_the_units_pass_systemds_own_check(tmp_path: Path) -> None:
    """With Reelyard where it is here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd here")
    program = Path(sys.executable).with_name("reelyard")
    for unit in UNITS.glob("*.service"):
        text = unit.read_text().replace("/opt/reelyard/bin/reelyard", str(program))
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "./reelyard-server.service", "./reelyard-worker@pc2.service"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_has_the_time_that_it_needs_to_hand_its_job_back() -> None:
    unit = options(UNITS / "reelyard-worker@.service")

    assert int(unit["TimeoutStopSec"][0]) > WORKER_ENDS_WITHIN + 10
    assert unit["KillMode"] == ["mixed"], (
        "SIGTERM is for the worker alone, SIGKILL for what is left"
    )
    assert unit["Restart"] == ["on-failure"], "one that was told to drain stays down"
    assert unit["StartLimitIntervalSec"] == ["0"], (
        "a database that is away for an hour ends nothing"
    )


def test_a_worker_may_reach_graphics_cards() -> None:
    unit = options(UNITS / "reelyard-worker@.service")

    assert "PrivateDevices" not in unit and "MemoryDenyWriteExecute" not in unit
    assert unit["DeviceAllow"] == ["char-nvidia* rw"]
    assert unit["NoNewPrivileges"] == ["yes"]


@pytest.mark.parametrize(("unit", "queues"), [
    ("reelyard-worker@.service", "default_queue"), ("reelyard-worker@.service", ""), ("reelyard-server.service", ""),
])  # fmt: skip
def test_what_the_units_start_is_a_command_of_ours(unit: str, queues: str) -> None:
    """systemd makes one argument of ${QUEUES}, an empty one where it is not set."""
    [started] = options(UNITS / unit)["ExecStart"]
    program, *arguments = started.replace("%i", "pc2").split()
    command, given = parsed([one.replace("${QUEUES}", queues) for one in arguments])

    assert program == "/opt/reelyard/bin/reelyard"
    if command == "worker":
        assert (given["name"], given["queues"]) == ("pc2", queues)


def test_the_service_for_windows_is_one_that_winsw_reads() -> None:
    service = ET.parse(DEPLOY / "windows" / "reelyard-worker.xml").getroot()
    command, given = parsed([one.text or "" for one in service.findall("argument")])

    assert service.tag == "service" and service.findtext("id", "").isalnum()
    assert (command, given["name"], given["queues"]) == ("worker", "pc2", "default_queue")
    assert int(service.findtext("stoptimeout", "").removesuffix(" sec")) > WORKER_ENDS_WITHIN + 10
    assert {one.get("action") for one in service.findall("onfailure")} == {"restart"}
    assert service.find("download") is None, "nothing is fetched at run time"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return document


def test_the_services_of_the_compose_file_run_our_commands(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert parsed(services["server"]["command"])[1]["host"] == "0.0.0.0"
    assert parsed(services["worker"]["command"])[1]["queues"] == "default_queue"
    assert services["worker"]["profiles"] == ["worker"], "only where it is asked for"
    assert int(services["worker"]["stop_grace_period"].removesuffix("s")) > WORKER_ENDS_WITHIN + 10


def test_the_worker_reaches_what_was_uploaded_to_the_server(compose: dict[str, Any]) -> None:
    data = [
        next(one for one in compose["services"][name]["volumes"] if ":/var/lib/reelyard" in one)
        for name in ("server", "worker")
    ]
    assert data[0] == data[1] and data[0].partition(":")[0] in compose["volumes"]


def test_the_containers_have_no_rights_that_they_don_t_need(compose: dict[str, Any]) -> None:
    for name in ("server", "worker"):
        service = compose["services"][name]
        assert service["cap_drop"] == ["ALL"] and service["read_only"] is True
        assert "privileged" not in service
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert "--constraint constraints.txt" in dockerfile


def test_no_password_is_in_the_compose_file(compose: dict[str, Any]) -> None:
    """They are in files, which no `docker inspect` shows."""
    named = {
        name for service in compose["services"].values() for name in service.get("secrets", [])
    }
    assert named == set(compose["secrets"])
    for service in compose["services"].values():
        told = {**service.get("environment", {})}
        assert not [name for name in told if "PASSWORD" in name and not name.endswith("_FILE")]
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/deploy/secrets/" in ignored


def test_ports_are_open_in_the_lan_only(compose: dict[str, Any]) -> None:
    """Docker's own rules go before the machine's firewall: a port without an address is open to everybody."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 3 and all(port.startswith("${LAN_ADDRESS:?") for port in ports)


def test_everything_that_others_wait_for_has_a_health_check(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("server", "database", "broker"):
        assert services[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert f"{health.router.prefix}/ready" in services["server"]["healthcheck"]["test"][-1]
    assert {one.path for one in health.router.routes} >= {"/health/ready"}  # type: ignore[attr-defined]


def test_the_image_gets_what_it_is_built_of_and_no_more() -> None:
    """No secret and no cache of the checkout gets into it."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    copied = {name.rstrip("/").removeprefix("./") for line in re.findall(
        r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE) for name in line.split()}  # fmt: skip

    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


PAGES = [(ROOT / "docs" / name).read_text() for name in ("operate.md", "windows.md")]


def test_commands_on_the_pages_exist() -> None:
    """Each `reelyard …` in them is one of ours."""
    group = get_command(app)
    named = set(re.findall(r"(?:^|[\s`/\\\"])reelyard(?:\.exe)? ([a-z]+)\b", "\n".join(PAGES)))
    commands = set(group.commands)  # type: ignore[attr-defined]

    assert {
        "doctor",
        "drain",
        "user",
        "worker",
        "workers",
        "submit",
        "supabase",
    } <= named & commands
    prose = named - commands
    assert not [name for name in prose if f"`reelyard {name}" in "".join(PAGES)], prose


def test_settings_on_the_pages_exist() -> None:
    """In blocks of TOML, and as variables."""
    known = set(Settings.model_fields) | set(ShareSetting.model_fields)
    for page in PAGES:
        blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
        written = {
            name for block in blocks for name in re.findall(r"^(\w+) *=", block, re.MULTILINE)
        }
        assert written <= known
        variables = {name.lower() for name in re.findall(r"REELYARD_([A-Z_]+)", page)}
        assert variables <= {*Settings.model_fields, "config"}


def test_figures_on_the_page_are_measured() -> None:
    source = (ROOT / "src" / "reelyard" / "api" / "metrics.py").read_text()
    named = set(re.findall(r"`(reelyard_[a-z_]+)", PAGES[0]))

    assert len(named) >= 8
    assert not [name for name in named if f'"{name}"' not in source]


def test_files_that_the_pages_point_to_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page):
            assert target.startswith("https://") or (ROOT / "docs" / target).exists(), target
