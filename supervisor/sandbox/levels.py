"""The table: every mechanism is a row, a level is an ordered tuple of rows.

Invariant: all behaviour that differs between levels follows from the rows; within a phase the rows apply in
the order of the level. The phases, in the order of time:
    holder   once a slot, in the holder, with all of the daemon's power
    clone    flags for the keeper of each job; without any, the holder itself is the keeper of all its jobs
    keeper   once a job, in the keeper, before the worker hears Prepared
    job      once a job, in the forked child, before its descriptors are set and its program is executed
    closing  once a slot, in the holder, when no keeper and no job is left
Never: does any code ask for a level by its name; a new level is a new tuple, a new mechanism a new row.
"""

from __future__ import annotations

import os

from supervisor.sandbox import syscalls
from supervisor.sandbox.fault import SandboxError
from supervisor.sandbox.mechanisms import (
    cgroup,
    host_folder,
    landlock,
    network,
    private_root,
    privileges,
    process,
    shared_uid,
    system_calls,
    user_namespace,
)
from supervisor.sandbox.site import Site
from supervisor.sandbox.tree import NamespaceTree, SubreaperTree, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.sandbox.site import Order, Room


class Mechanism:
    """One row. enforces: aspect -> how; tells: the same, once the holder is set up, where it depends on the machine;
    needed: whether it applies to this daemon; remedy: the key of what enables it (remedy.py); moves_binds: jobs see a
    bind at its target, not at its source."""

    def __init__(
        self,
        name: str,
        gives: str,
        *,
        enforces: dict[str, str] | None = None,
        tells: Callable[[Site], dict[str, str]] = lambda site: {},
        needed: Callable[[], bool] = lambda: True,
        remedy: str = "",
        moves_binds: bool = False,
        holder: Callable[[Site], None] | None = None,
        clone: Callable[[Room], int] | None = None,
        keeper: Callable[[Site, Room], None] | None = None,
        job: Callable[[Site, Room, Order], None] | None = None,
        closing: Callable[[Site], None] | None = None,
        tree: type[Tree] | None = None,
    ) -> None:
        self.name = name
        self.gives = gives
        self.enforces = enforces or {}
        self.tells = tells
        self.needed = needed
        self.remedy = remedy
        self.moves_binds = moves_binds
        self.holder = holder
        self.clone = clone
        self.keeper = keeper
        self.job = job
        self.closing = closing
        self.tree = tree


def _by_root() -> bool:
    return os.geteuid() == 0


def _by_user() -> bool:
    return os.geteuid() != 0


# What people ask about, and the answer where no row of a level enforces it.
ASPECTS = {
    "memory": "not enforced",
    "cpu": "not enforced",
    "processes": "not enforced",
    "disk": "not enforced: a plain folder has no quota; needs a private root with a work folder in memory",
    "network": "not enforced: the job may use the host's network, its loopback included",
    "unix_sockets": "not enforced: the job may connect to every unix socket that its uid may write to",
    "files": "not enforced: the job reads and writes the host's files with the rights of its uid, /tmp and /dev/shm",
    "other_processes": "not enforced: the job sees the host's processes",
    "signals": "not enforced: the job may signal, slow down and limit every process of its uid, the daemon's if it is",
    "ipc": "not enforced: the job shares System V and POSIX message queues and shared memory with the host",
    "system_calls": "not enforced: every system call that the job's uid may make",
    "user": "not enforced: the job is the daemon's own user; needs a daemon that runs as root",
    "privileges": "not enforced",
    "kill_tree": "not enforced",
    "cgroup": "not used",
}

NO_NEW_PRIVILEGES = Mechanism(
    "no_new_privileges", "setuid programs and file capabilities give the job nothing",
    enforces={"privileges": "no_new_privs, no capabilities"},
    holder=privileges.refuse_new_privileges,
)  # fmt: skip
USER_NAMESPACE = Mechanism(
    "user_namespace", "an ordinary user's daemon may make the other namespaces; the job's uid is its own, alone",
    enforces={"user": "the daemon's own uid, in a user namespace with nobody else"},
    needed=_by_user, remedy="user_namespaces", holder=user_namespace.enter,
)  # fmt: skip
NO_MORE_NAMESPACES = Mechanism(
    "no_more_user_namespaces", "the job cannot become root of a user namespace of its own",
    needed=_by_user, remedy="writable_proc", holder=user_namespace.forbid_another,
)  # fmt: skip
PRIVATE_ROOT = Mechanism(
    "private_root", "the job sees a read-only system and its own folders, nothing else of the host's files",
    enforces={"files": "private root: system read-only, own /job /tmp /dev/shm", "disk": "tmpfs size and inodes"},
    remedy="namespaces", moves_binds=True,
    holder=private_root.build_template,
    clone=lambda room: syscalls.CLONE_NEWNS,
    keeper=private_root.mount_fresh,
)  # fmt: skip
PRIVATE_NETWORK = Mechanism(
    "private_network", "no network but a loopback of its own, unless the slot class asks for the network",
    enforces={"network": "network namespace with a loopback only (unless network is allowed)"},
    remedy="namespaces", clone=network.clone_flag, keeper=network.raise_loopback,
)  # fmt: skip
PRIVATE_IPC = Mechanism(
    "private_ipc", "no System V or POSIX message queue of anybody else", remedy="namespaces",
    enforces={"ipc": "IPC namespace"},
    clone=lambda room: syscalls.CLONE_NEWIPC, keeper=process.count_segments,
)  # fmt: skip
PRIVATE_HOSTNAME = Mechanism(
    "private_hostname", "the host's name is not shown", remedy="namespaces",
    clone=lambda room: syscalls.CLONE_NEWUTS, keeper=process.name_host,
)  # fmt: skip
PRIVATE_PROCESSES = Mechanism(
    "private_processes", "the job sees and signals only itself; killing its tree is airtight",
    enforces={"other_processes": "pid namespace", "signals": "pid namespace", "kill_tree": "exact: the pid namespace dies as a whole"},
    remedy="namespaces", clone=lambda room: syscalls.CLONE_NEWPID, tree=NamespaceTree,
)  # fmt: skip
PRIVATE_KEYRING = Mechanism("private_keyring", "no session keys of anybody else", keeper=privileges.join_new_keyring)
ORPHANS_ADOPTED = Mechanism(
    "orphans_adopted", "processes that leave their session or parent are still found and killed",
    enforces={"kill_tree": "subreaper: kill the children until none is left"},
    holder=process.adopt_orphans, tree=SubreaperTree,
)  # fmt: skip
HOST_FOLDER = Mechanism("host_folder", "a fresh private folder on the disk", keeper=host_folder.make)
USER_COUNTED = Mechanism(
    "user_counted", "the process limit allows for what else the same user runs",
    needed=_by_user, keeper=shared_uid.count_threads_of_user,
)  # fmt: skip
BOUNDED = Mechanism("bounded_capabilities", "no capability can ever be got back", holder=privileges.empty_bounding_set)
HIDDEN_KEEPER = Mechanism("hidden_keeper", "the job cannot look into holder and keeper", holder=privileges.hide_holder)
WEAK_KEEPER = Mechanism(
    "weak_keeper", "the keeper keeps only what it needs to start, measure and kill",
    keeper=privileges.weaken_keeper,
)  # fmt: skip
CGROUP = Mechanism(
    "cgroup", "limits, kill and account of the whole tree by the kernel, where a cgroup was delegated",
    tells=cgroup.tell, holder=cgroup.find, keeper=cgroup.make, job=cgroup.enter, closing=cgroup.sweep,
)  # fmt: skip
CGROUP_IN_REACH = Mechanism(
    "cgroup_in_reach", "the same, where the job sees the cgroup's files",
    tells=cgroup.tell_in_reach, holder=cgroup.find, keeper=cgroup.make, job=cgroup.enter, closing=cgroup.sweep,
)  # fmt: skip
CALLS_DENIED = Mechanism(
    "calls_denied", "no system call that a job has no business with, for it and for its keeper",
    tells=system_calls.tell, holder=system_calls.assemble, keeper=system_calls.load_on_keeper,
)  # fmt: skip
CALLS_DENIED_ALONE = Mechanism(
    "calls_denied_alone", "the same without namespaces: no socket and no IPC object of the host either",
    tells=system_calls.tell_alone, holder=system_calls.assemble_alone, job=system_calls.load_on_job,
)  # fmt: skip
SCOPED = Mechanism(
    "scoped", "no abstract socket and no signal to anybody but its own, even in the host's network",
    tells=landlock.tell_scope, job=landlock.scope_job,
)  # fmt: skip
LANDLOCK = Mechanism(
    "landlock", "the job opens, connects to and signals only what is its own, by the kernel's Landlock",
    tells=landlock.tell, remedy="landlock",
    holder=landlock.require, keeper=landlock.make_rules, job=landlock.bind_job,
)  # fmt: skip
SESSION = Mechanism("session", "own session and process group, umask 077", job=process.start_session)
FIRST_TO_GO = Mechanism(
    "first_to_go", "when the machine runs out of memory the job goes first", job=privileges.be_first_to_go
)
SLOT_UID = Mechanism(
    "slot_uid", "under a root daemon the job has a uid of its slot's own",
    enforces={"user": "the slot's own uid"}, needed=_by_root, job=privileges.become_slot_uid,
)  # fmt: skip
NO_CAPABILITIES = Mechanism("no_capabilities", "the job has no capability", job=privileges.be_nobody)
DIES_WITH_KEEPER = Mechanism("dies_with_keeper", "the main process dies with its keeper", job=process.die_with_keeper)
LIMITS = Mechanism(
    "limits", "the kernel's limits: processes, open files, file size, …",
    enforces={"processes": "RLIMIT_NPROC, threads count"}, job=process.limit,
)  # fmt: skip
OWN_SESSION = Mechanism("own_session", "own session and process group", job=process.lead_session)
GIVEN_USER = Mechanism(
    "given_user", "under a root daemon it is the user that was chosen, with that user's groups",
    enforces={"user": "none but the user that was chosen"}, needed=_by_root, job=privileges.become_user,
)  # fmt: skip
RUN_LIMITS = Mechanism(
    "run_limits", "the kernel's limits that were asked for",
    enforces={"processes": "not enforced: the processes of a user are counted together"}, job=process.limit,
)  # fmt: skip
SAMPLED = Mechanism(
    "sampled", "memory and CPU of the whole tree, measured and limited by the keeper",
    enforces={"memory": "sampled every 50 ms", "cpu": "sampled every 50 ms"},
)  # fmt: skip

LEVELS: dict[str, tuple[Mechanism, ...]] = {
    "namespace": (
        NO_NEW_PRIVILEGES, CGROUP, USER_NAMESPACE, NO_MORE_NAMESPACES, PRIVATE_ROOT, PRIVATE_NETWORK, PRIVATE_IPC,
        PRIVATE_HOSTNAME, PRIVATE_PROCESSES, PRIVATE_KEYRING, BOUNDED, HIDDEN_KEEPER, WEAK_KEEPER, CALLS_DENIED,
        SESSION, FIRST_TO_GO, SLOT_UID, NO_CAPABILITIES, LIMITS, SAMPLED, SCOPED,
    ),
    "landlock": (
        NO_NEW_PRIVILEGES, CGROUP, ORPHANS_ADOPTED, HOST_FOLDER, USER_COUNTED, PRIVATE_KEYRING, BOUNDED, HIDDEN_KEEPER,
        SESSION, FIRST_TO_GO, SLOT_UID, NO_CAPABILITIES, DIES_WITH_KEEPER, LIMITS, SAMPLED, LANDLOCK,
        CALLS_DENIED_ALONE,
    ),
    "plain": (
        NO_NEW_PRIVILEGES, CGROUP_IN_REACH, ORPHANS_ADOPTED, HOST_FOLDER, USER_COUNTED, PRIVATE_KEYRING, BOUNDED, HIDDEN_KEEPER,
        SESSION, FIRST_TO_GO, SLOT_UID, NO_CAPABILITIES, DIES_WITH_KEEPER, LIMITS, SAMPLED,
    ),
}  # fmt: skip

TRUSTED: dict[str, tuple[Mechanism, ...]] = {
    "none": (
        ORPHANS_ADOPTED, HOST_FOLDER, HIDDEN_KEEPER, OWN_SESSION, FIRST_TO_GO, GIVEN_USER, DIES_WITH_KEEPER,
        RUN_LIMITS, SAMPLED,
    ),
}  # fmt: skip
"""For the operator's own code, which is kept apart from nothing: watched, limited and ended as a whole."""


def mechanisms_of(level: str) -> tuple[Mechanism, ...]:
    """The rows of a level that apply to this daemon, to be asked before it enters a namespace."""
    return tuple(row for row in (LEVELS | TRUSTED)[level] if row.needed())


def enforced_by(rows: tuple[Mechanism, ...], site: Site) -> dict[str, str]:
    """For each aspect how it is enforced, or why not."""
    answer = dict(ASPECTS)
    for row in rows:
        answer.update(row.enforces)
    for row in rows:
        answer.update(row.tells(site))
    return answer


def foretold(level: str) -> dict[str, str]:
    """The same of a level that no holder was set up for, but for what a delegated cgroup would add.

    Empty where the machine cannot have the level.
    """
    if level not in LEVELS:
        return {}
    try:
        return enforced_by(mechanisms_of(level), Site(level, "", -1, -1, [], "", None))
    except OSError:
        return {}


def remedies_of(level: str) -> dict[str, str]:
    """The rows of a level that something enables, and the key of what does, by the name of the row."""
    return {row.name: row.remedy for row in mechanisms_of(level) if row.remedy}


def moves_binds(level: str) -> bool:
    """Whether jobs of a level see a bind at its target."""
    return any(row.moves_binds for row in mechanisms_of(level))


def prepare_holder(rows: tuple[Mechanism, ...], site: Site) -> None:
    for row in rows:
        if row.holder is not None:
            with Step(row.name):
                row.holder(site)


def clone_flags(rows: tuple[Mechanism, ...], room: Room) -> int:
    flags = 0
    for row in rows:
        flags |= row.clone(room) if row.clone is not None else 0
    return flags


def prepare_keeper(rows: tuple[Mechanism, ...], site: Site, room: Room) -> None:
    for row in rows:
        if row.keeper is not None:
            with Step(row.name):
                row.keeper(site, room)


def prepare_job(rows: tuple[Mechanism, ...], site: Site, room: Room, order: Order) -> None:
    for row in rows:
        if row.job is not None:
            with Step(row.name):
                row.job(site, room, order)


def close_holder(rows: tuple[Mechanism, ...], site: Site) -> None:
    for row in rows:
        if row.closing is not None:
            row.closing(site)


def tree_of(rows: tuple[Mechanism, ...]) -> Tree:
    """How a keeper of this level finds and kills its job's processes."""
    return next(row.tree for row in rows if row.tree is not None)()


class Step:
    """Names the mechanism in whatever the kernel refuses inside."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError):
            raise SandboxError.of(self._name, error) from error
