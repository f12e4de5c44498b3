"""The units and the AppArmor profile: what systemd and the profile's compiler say of them, and what they must hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.config import Settings
from supervisor.core import errors
from tests.harness import CLEAN_ENVIRONMENT, ROOT

sys.path.append(str(ROOT / "packaging"))
from sample_settings import EXAMPLES

UNITS = ROOT / "packaging/systemd"
NAMES = ["worker-supervisor.service", "worker-supervisor.user.service"]
PROFILE = ROOT / "packaging/apparmor/worker-supervisor"
MOST_EXPOSED = 5.0
"""Of ten; what `systemd-analyze security` calls OK."""


def settings_of(name: str) -> dict[str, str]:
    lines = (UNITS / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|min)", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit == "min" else 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_lets_the_daemon_end_its_jobs_itself_and_manage_its_cgroup(name: str) -> None:
    unit = settings_of(name)
    said = {key: unit[key] for key in ("Type", "NotifyAccess", "KillMode", "OOMPolicy", "Delegate")}
    assert said == {
        "Type": "notify", "NotifyAccess": "main", "KillMode": "mixed", "OOMPolicy": "continue", "Delegate": "yes",
    }  # fmt: skip
    usual = Settings(state_dir="/s", socket="/s/s")
    assert seconds(unit["TimeoutStopSec"]) > usual.shutdown_timeout_s + usual.kill_grace_s
    assert seconds(unit["WatchdogSec"]) > usual.hang_timeout_s
    assert unit["RuntimeDirectory"] == "worker-supervisor"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_not_started_again_where_that_cures_nothing(name: str) -> None:
    unit = settings_of(name)
    hopeless = {errors.EXIT_SETTINGS, errors.EXIT_HELD, errors.EXIT_SCHEMA}
    assert set(map(int, unit["RestartPreventExitStatus"].split())) == hopeless
    assert unit["Restart"] == "on-failure" and int(unit["StartLimitBurst"]) > 1


@pytest.mark.parametrize("name", NAMES)
def test_no_hardening_takes_from_the_daemon_what_its_sandboxes_are_made_of(name: str) -> None:
    unit = settings_of(name)
    fatal = {"RestrictNamespaces", "MemoryDenyWriteExecute", "ProtectHostname", "ProtectControlGroups", "PrivateUsers"}
    assert fatal & set(unit) == set()
    assert "@mount" not in unit.get("SystemCallFilter", "") and "@privileged" not in unit.get("SystemCallFilter", "")


@pytest.mark.parametrize("key", ["state_dir", "socket", "http.socket", "log.file"])
def test_where_the_annotated_settings_have_the_daemon_write_the_system_unit_lets_it(key: str) -> None:
    """`ProtectSystem=strict` makes everything else read-only; the daemon would not start."""
    unit = settings_of(NAMES[0])
    assert unit["ProtectSystem"] == "strict"
    folders = {"/var/lib": "StateDirectory", "/run": "RuntimeDirectory", "/var/log": "LogsDirectory"}
    writable = [f"{base}/{unit[setting]}" for base, setting in folders.items()]
    assert any(f"{EXAMPLES[key]}/".startswith(f"{folder}/") for folder in writable)


@pytest.mark.parametrize("name", NAMES)
def test_systemd_has_no_complaint(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    command = tmp_path / "command"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / "worker-supervisor.service"
    text = (UNITS / name).read_text()
    unit.write_text(re.sub(r"^(Exec\w+=)\S+", rf"\g<1>{command}", text, flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True, text=True, timeout=60, check=False, env=CLEAN_ENVIRONMENT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_system_unit_is_exposed_no_more_than_it_must() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNITS / NAMES[0])],
        capture_output=True, text=True, timeout=60, check=False, env=CLEAN_ENVIRONMENT,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd has no --offline")
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) <= MOST_EXPOSED, done.stdout


def test_the_profile_names_the_command_that_the_unit_starts() -> None:
    (attached,) = re.findall(
        r"^profile worker-supervisor (\S+) flags=\(unconfined\) \{$", PROFILE.read_text(), re.MULTILINE
    )
    assert attached == settings_of(NAMES[0])["ExecStart"]
    assert re.search(r"^  userns,$", PROFILE.read_text(), re.MULTILINE)


def test_the_profile_is_one() -> None:
    if shutil.which("apparmor_parser") is None:
        pytest.skip("apparmor_parser is not installed")
    version = subprocess.run(["apparmor_parser", "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.search(r"version (\d+)", version)[1]) < 4:  # type: ignore[index]
        pytest.skip("AppArmor before version 4 knows no userns")
    done = subprocess.run(
        ["apparmor_parser", "--skip-kernel-load", "--skip-cache", str(PROFILE)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
