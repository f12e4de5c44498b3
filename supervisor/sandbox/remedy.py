"""What would enable a step that the kernel refused, as a command that can be pasted.

Invariant: looks at the machine to name the one cause that it can see, else names all that are known for the errno;
the worker's side only: it may run where nothing else of the sandbox works.
Never: changes anything; decides whether a level works (a probe does).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from supervisor.sandbox import levels

_CLONE = "clone"
_USERS_MAX = "/proc/sys/user/max_user_namespaces"
_USERS_CLONE = "/proc/sys/kernel/unprivileged_userns_clone"
_USERS_APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
_ENOUGH = 15000

_DOCKER = (
    "in Docker: docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined"
)
_DOCKER_AS_ROOT = f"{_DOCKER} --cap-add SYS_ADMIN"
_APPARMOR = (
    "as root: printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile worker-supervisor {program} "
    "flags=(unconfined) {{\\n  userns,\\n}}\\n' > /etc/apparmor.d/worker-supervisor && "
    "apparmor_parser -r /etc/apparmor.d/worker-supervisor; "
    "or for the whole machine: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
)
_RUN_AS_ROOT = "or run the daemon as root"


def remedy_for(level: str, step: str, number: int) -> str:
    """The sentence for a failed step (a row's name, or clone), "" if nothing is known to help."""
    if level not in levels.LEVELS:
        return ""
    remedies = levels.remedies_of(level)
    key = next(iter(remedies.values()), "") if step == _CLONE else remedies.get(step, "")
    return _REMEDIES[key](number) if key else ""


def _user_namespaces(number: int) -> str:
    if _number_in(_USERS_MAX) == 0:
        return f"as root: sysctl -w user.max_user_namespaces={_ENOUGH}; {_RUN_AS_ROOT}"
    if _number_in(_USERS_CLONE) == 0:
        return f"as root: sysctl -w kernel.unprivileged_userns_clone=1; {_RUN_AS_ROOT}"
    if _number_in(_USERS_APPARMOR) == 1:
        return f"{_APPARMOR.format(program=os.path.realpath('/proc/self/exe'))}; {_RUN_AS_ROOT}"
    if _is_filtered() or _is_in_container():
        return _DOCKER
    if number == errno.ENOSPC:
        return f"as root: sysctl -w user.max_user_namespaces={_ENOUGH} (here or in the namespace above); {_RUN_AS_ROOT}"
    if number in (errno.EINVAL, errno.ENOSYS):
        return f"a kernel with CONFIG_USER_NS=y; {_RUN_AS_ROOT}"
    return (
        "allow unprivileged user namespaces: as root sysctl -w user.max_user_namespaces=15000 and, where they exist, "
        f"kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; {_RUN_AS_ROOT}"
    )


def _namespaces(number: int) -> str:
    if os.geteuid() != 0:
        return _user_namespaces(number)
    if _is_filtered() or _is_in_container() or number == errno.EPERM:
        return f"let the daemon mount (it needs CAP_SYS_ADMIN and an unmasked /proc); {_DOCKER_AS_ROOT}"
    return "a kernel with CONFIG_NAMESPACES and all kinds of namespaces in it, 5.12 or newer"


def _writable_proc(number: int) -> str:
    if number == errno.EROFS:
        return f"/proc/sys must be writable inside the container; {_DOCKER} (Podman: --security-opt unmask=ALL)"
    return ""


def _landlock(number: int) -> str:
    if number == errno.EOPNOTSUPP:
        modules = _text_in("/sys/kernel/security/lsm")
        wanted = f"lsm=landlock,{modules}" if modules else "lsm=landlock,… (before what /sys/kernel/security/lsm names)"
        return (
            f'as root: add {wanted} to GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub and reboot'
        )  # fmt: skip
    if number == errno.ENOSYS:
        return "a kernel with CONFIG_SECURITY_LANDLOCK=y, 5.13 or newer"
    if _is_filtered():
        return _DOCKER
    return ""


_REMEDIES: dict[str, Callable[[int], str]] = {
    "user_namespaces": _user_namespaces,
    "namespaces": _namespaces,
    "writable_proc": _writable_proc,
    "landlock": _landlock,
}


def _is_filtered() -> bool:
    """Whether somebody, a container as a rule, put a seccomp filter on us."""
    return "\nSeccomp:\t2" in _text_in("/proc/self/status")


def _is_in_container() -> bool:
    return os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv")


def _number_in(path: str) -> int | None:
    text = _text_in(path)
    return int(text) if text.isdigit() else None


def _text_in(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
