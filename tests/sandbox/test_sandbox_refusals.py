"""On machines that refuse: the probe says which step failed, with which errno, and what would enable it.

The machines are simulated for real: Docker's default filter by a filter of our own on a child process, masked user
namespaces inside a user namespace, a kernel without Landlock by a filter as well.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_bench import HERE, PYTHON, ROOT, SLOT_UID, VERDICTS

import supervisor
from supervisor.sandbox import LEVELS, probe_levels, remedy
from supervisor.sandbox.mechanisms import denied_calls as calls
from supervisor.sandbox.mechanisms import system_calls

COLUMN = 1 if os.uname().machine == "aarch64" else 0
LANDLOCK = {"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446}
BODY = """
import json, os, sys
sys.path.insert(0, {code!r})
from supervisor.sandbox import probe_levels, syscalls
{before}
verdicts = probe_levels(slot_uid={slot_uid}, programs=[["/bin/true"], ["/bin/sh", "-c", "exit 0"]])
print(json.dumps({{level: [v.ok, v.step, v.errno, v.remedy] for level, v in verdicts.items()}}))
"""
FILTER = """
syscalls.refuse_new_privileges()
syscalls.load_filter(bytes.fromhex({program!r}))
"""

pytestmark = pytest.mark.skipif(not system_calls.supported(), reason="no table of system calls for this machine")


def filter_of(refused: dict[int, int], *, namespaces: bool) -> str:
    """A program that refuses these calls with these errors, and clone for new namespaces."""
    leaves = {number: system_calls._answer(0x50000 | error) for number, error in refused.items()}
    if not namespaces:
        leaves[calls.CLONE[COLUMN]] = system_calls._leaves(COLUMN, {}, ipc=True)[calls.CLONE[COLUMN]]
    original = system_calls._leaves
    system_calls._leaves = lambda *_, **__: dict(leaves)
    try:
        return system_calls.program_for(os.uname().machine, {}, ipc=True).hex()
    finally:
        system_calls._leaves = original


def docker() -> str:
    names = ("mount", "umount2", "pivot_root", "unshare", "setns", "keyctl", "open_tree", "move_mount", "fsopen",
             "mount_setattr", "ptrace")  # fmt: skip
    return filter_of({calls.FORBIDDEN[name][COLUMN]: errno.EPERM for name in names}, namespaces=False)


@pytest.fixture(scope="module")
def code() -> Iterator[str]:
    """The code where every user can read it."""
    place = tempfile.mkdtemp(prefix="sandbox-code-")
    source = Path(supervisor.__file__).parent
    (Path(place) / "supervisor").mkdir()
    shutil.copytree(source / "sandbox", f"{place}/supervisor/sandbox", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "__init__.py", f"{place}/supervisor/__init__.py")
    subprocess.run(["/bin/chmod", "-R", "a+rX", place], check=True)
    yield place
    shutil.rmtree(place)


def survey(code: str, before: str, *, as_user: bool) -> dict[str, list[object]]:
    import json

    slot_uid = SLOT_UID if ROOT and not as_user else None
    source = BODY.format(code=code, before=before, slot_uid=slot_uid)
    other = {"user": SLOT_UID, "group": SLOT_UID, "extra_groups": []} if ROOT and as_user else {}
    done = subprocess.run(
        [PYTHON, "-B", "-c", source], capture_output=True, text=True, timeout=60, check=False, cwd="/", **other
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done
    answer: dict[str, list[object]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_under_dockers_default_filter_the_next_level_is_had(code: str) -> None:
    verdicts = survey(code, FILTER.format(program=docker()), as_user=False)
    ok, step, number, enabling = verdicts["namespace"]
    assert (ok, step, number) == (False, "private_root" if ROOT else "user_namespace", errno.EPERM)
    assert "docker run --security-opt seccomp=unconfined" in str(enabling)
    assert ("--cap-add SYS_ADMIN" in str(enabling)) == ROOT
    assert verdicts["landlock"][0] == ("landlock" in HERE), verdicts
    assert verdicts["plain"] == [True, "", 0, ""]


@pytest.mark.skipif("namespace" not in HERE, reason="user namespaces are needed to mask them")
def test_masked_user_namespaces_name_the_sysctl(code: str) -> None:
    before = """
uid = os.getuid()
syscalls.unshare(syscalls.CLONE_NEWUSER)
for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{uid} {uid} 1")):
    with open(f"/proc/self/{name}", "w") as file: file.write(text)
with open("/proc/sys/user/max_user_namespaces", "w") as file: file.write("0")
syscalls.keep_capabilities(())
"""
    verdicts = survey(code, before, as_user=True)
    ok, step, number, enabling = verdicts["namespace"]
    assert (ok, step, number) == (False, "user_namespace", errno.ENOSPC)
    assert str(enabling).startswith("as root: sysctl -w user.max_user_namespaces=")
    assert verdicts["plain"][0]


@pytest.mark.skipif("namespace" not in HERE, reason="user namespaces are needed to mask a part of /proc")
def test_a_masked_proc_names_what_unmasks_it(code: str) -> None:
    before = """
uid = os.getuid()
syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{uid} {uid} 1")):
    with open(f"/proc/self/{name}", "w") as file: file.write(text)
syscalls.mount("/proc/sys", "/proc/sys", None, syscalls.MS_BIND | syscalls.MS_REC)
syscalls.harden_mount("/proc/sys", writable=False)
syscalls.keep_capabilities(())
"""
    verdicts = survey(code, before, as_user=True)
    ok, step, number, enabling = verdicts["namespace"]
    assert (ok, step, number) == (False, "no_more_user_namespaces", errno.EROFS)
    assert "systempaths=unconfined" in str(enabling) and "unmask=ALL" in str(enabling)


@pytest.mark.parametrize(
    ("number", "says"), [(errno.EOPNOTSUPP, "lsm=landlock,"), (errno.ENOSYS, "CONFIG_SECURITY_LANDLOCK=y")]
)
def test_a_kernel_without_landlock_names_the_boot_parameter_or_the_option(code: str, number: int, says: str) -> None:
    program = filter_of(dict.fromkeys(LANDLOCK.values(), number), namespaces=True)
    verdicts = survey(code, FILTER.format(program=program), as_user=False)
    ok, step, seen, enabling = verdicts["landlock"]
    assert (ok, step, seen) == (False, "landlock", number)
    assert says in str(enabling)
    assert verdicts["namespace"][0] == ("namespace" in HERE), "what Landlock adds there is left out"


def test_ubuntus_restriction_names_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {remedy._USERS_MAX: 15000, remedy._USERS_CLONE: None, remedy._USERS_APPARMOR: 1}
    monkeypatch.setattr(remedy, "_number_in", numbers.get)
    sentence = remedy._user_namespaces(errno.EACCES)
    assert "apparmor_parser -r /etc/apparmor.d/worker-supervisor" in sentence
    assert "userns," in sentence
    assert "kernel.apparmor_restrict_unprivileged_userns=0" in sentence
    numbers[remedy._USERS_CLONE] = 0
    assert "sysctl -w kernel.unprivileged_userns_clone=1" in remedy._user_namespaces(errno.EPERM)


def test_the_probe_of_all_levels_stops_where_it_is_told_to() -> None:
    slot_uid = SLOT_UID if ROOT else None
    first = HERE[0]
    best = probe_levels(slot_uid=slot_uid, until_ok=True)
    assert list(best)[-1] == first
    assert best[first].enforced == VERDICTS[first].enforced
    failing = probe_levels(slot_uid=slot_uid, programs=[["/bin/true"], ["/bin/false"]], until_ok=True)
    assert list(failing) == list(LEVELS)
    assert {failing[level].reason for level in HERE} == {"/bin/false ended with wait status 256"}
