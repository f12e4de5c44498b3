"""The command line: what it prints and with which code it ends before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import supervisor

ROOT = Path(__file__).parent.parent.parent


def called(*words: str, folder: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WORKER_")}
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *words],
        capture_output=True, text=True, check=False, cwd=folder, env={**kept, **env}, timeout=30,
    )  # fmt: skip


def test_version() -> None:
    done = called("--version")
    assert (done.returncode, done.stdout) == (0, f"worker-supervisor {supervisor.__version__}\n")


def test_check_config_says_ok_or_what_is_wrong(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("kill_grace = 1")
    bad.write_text("kill_grase = 1")
    for path in (good, bad):
        path.chmod(0o600)
    fine = called("check-config", "--config", str(good))
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "ok\n", "")
    wrong = called("--config", str(bad), "check-config")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith(f"worker-supervisor: {bad}: there is no key 'kill_grase'")


def test_bad_settings_end_a_start_with_2_and_touch_nothing(tmp_path: Path) -> None:
    done = called("--state-dir", str(tmp_path / "state"), "--workers", "many")
    assert done.returncode == 2 and "--workers" in done.stderr
    assert not (tmp_path / "state").exists()
    unwritable = called("--state-dir", str(tmp_path / "state"), "--log-file", str(tmp_path / "no" / "log"))
    assert unwritable.returncode == 2 and "log.file: cannot open" in unwritable.stderr
    assert not (tmp_path / "state").exists()
    assert called("--no-such-flag").returncode == 2
    assert called(WORKER_KILL_GRASE="1").returncode == 2


def test_a_package_of_another_distribution_is_named_instead_of_failing_strangely(tmp_path: Path) -> None:
    package = tmp_path / "supervisor"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in ("cli.py", "__main__.py"):
        (package / name).write_text((ROOT / "supervisor" / name).read_text())
    info = tmp_path / "supervisor-4.3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: supervisor\nVersion: 4.3.0\n")
    (info / "RECORD").write_text("supervisor/__init__.py,,\n")
    (info / "top_level.txt").write_text("supervisor\n")
    done = called(folder=tmp_path)
    assert done.returncode == 2
    assert "belongs to supervisor, not to workerctl" in done.stderr
    assert "virtual environment" in done.stderr


def test_the_help_lists_the_exit_codes() -> None:
    done = called("--help")
    assert done.returncode == 0
    for word in ("--state-dir", "--set KEY=VALUE", "check-config", "75 storage error", "78 newer or broken database"):
        assert word in done.stdout


def test_json_goes_with_doctor_alone(tmp_path: Path) -> None:
    done = called("--json", "--state-dir", str(tmp_path / "state"))
    assert done.returncode == 2 and "--json goes with doctor" in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_successor_hides_its_memory_before_it_imports_what_it_becomes() -> None:
    program = (
        "import sys; from supervisor.arbiter import prctl; from supervisor import cli\n"
        "prctl.hide_memory = lambda: print('hidden', 'supervisor.arbiter.main' in sys.modules)\n"
        "sys.exit(cli.main(['--workers', 'many']))"
    )
    for handover, words in (({}, ""), ({"WORKER_SUPERVISOR_HANDOVER": "999"}, "hidden False\n")):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **handover}, timeout=30,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, words), done.stderr
