"""What a hostile job tries, and what is expected of it: one row an attempt, one column a level, network and daemon.

`escape_table()` runs every attempt that this machine allows and returns the rows; run as a program it prints them.
An attempt is Python that a job executes: it returns (possible), returns False, or raises OSError (refused). Some have
an effect on the host as well, which alone counts then.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# With and without network, where that makes a difference.
VARIANTS = {"namespace": ("", "+network"), "landlock": ("", "+network")}


def columns_of(levels: Iterable[str], *, root: bool) -> list[str]:
    daemon = "root" if root else "user"
    return [f"{level}{variant}/{daemon}" for level in levels for variant in VARIANTS.get(level, ("",))]


@dataclass(frozen=True)
class Attempt:
    """possible: patterns of columns (`LEVEL[+network]/root|user`) where it succeeds; landlock_abi: below it the
    columns of that level promise nothing; effect: the key of a path in the arena that must not come to be;
    needs_level: without it this machine may refuse where the table says possible."""

    name: str
    what: str
    possible: str
    body: str
    landlock_abi: int = 0
    effect: str = ""
    needs_level: str = ""

    def expected(self, column: str) -> bool:
        return any(fnmatch.fnmatch(column, pattern) for pattern in self.possible.split())


ONLY_PLAIN = "plain/*"
SAME_USER = "plain/user"
NETWORKED = "plain/* *+network/*"
NAMES = "plain/* landlock*/*"
NOWHERE = ""

ATTEMPTS = [
    Attempt("read_queue", "read a 0600 file in the daemon's 0700 folder", SAME_USER, "open(T['queue']).read()"),
    Attempt("write_queue", "write to it", SAME_USER, "open(T['queue'], 'r+').close()"),
    Attempt("truncate_queue", "truncate it by its path", SAME_USER, "os.truncate(T['queue'], 6)", landlock_abi=3),
    Attempt("chmod_queue", "change its mode", "plain/user landlock*/user", "os.chmod(T['queue'], 0o600)"),
    Attempt("list_state", "list the folder", SAME_USER, "os.listdir(os.path.dirname(T['queue']))"),
    Attempt(
        "control_socket", "connect to a unix socket in it", SAME_USER,
        "socket.socket(socket.AF_UNIX).connect(T['control'])",
    ),
    Attempt(
        "datagram_socket", "send to a datagram socket in it", SAME_USER,
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', T['datagram'])",
    ),
    Attempt(
        "datagram_open", "send to a datagram socket that is open to all", ONLY_PLAIN,
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', T['open'])",
    ),
    Attempt(
        "abstract_socket", "connect to the daemon's abstract socket", ONLY_PLAIN,
        "socket.socket(socket.AF_UNIX).connect('\\0' + T['abstract'])",
    ),
    Attempt(
        "tcp_loopback", "connect to a TCP port of the host's loopback", NETWORKED,
        "socket.create_connection(('127.0.0.1', T['tcp']), 2)",
    ),
    Attempt(
        "udp_loopback", "send to a UDP port of it and get an answer", NETWORKED,
        "s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(1); s.sendto(b'x', ('127.0.0.1', T['udp'])); s.recv(9)",
    ),
    Attempt("proc_cmdline", "read the daemon's command line", NAMES, "open(f'/proc/{T[\"pid\"]}/cmdline').read()"),
    Attempt("proc_environ", "read its environment", NOWHERE, "open(f'/proc/{T[\"pid\"]}/environ').read()"),
    Attempt("proc_fd", "list its descriptors", NOWHERE, "os.listdir(f'/proc/{T[\"pid\"]}/fd')"),
    Attempt("proc_mem", "open its memory", NOWHERE, "open(f'/proc/{T[\"pid\"]}/mem', 'rb')"),
    Attempt("proc_root", "go through its root", NOWHERE, "os.listdir(f'/proc/{T[\"pid\"]}/root/')"),
    Attempt("ptrace", "trace it", NOWHERE, "call('ptrace', 0x4206, T['pid'], 0, 0)"),
    Attempt(
        "process_vm_readv", "read its memory by process_vm_readv", NOWHERE,
        "v = (ctypes.c_size_t * 2)(1 << 12, 1)\n"
        "    try: call('process_vm_readv', T['pid'], v, 1, v, 1, 0)\n"
        "    except OSError as e:\n"
        "        if e.errno != errno.EFAULT: raise",
    ),
    Attempt("pidfd_getfd", "take a descriptor of it", NOWHERE, "call('pidfd_getfd', os.pidfd_open(T['pid']), 0, 0)"),
    Attempt("kill", "signal it", SAME_USER, "os.kill(T['pid'], 0)", landlock_abi=6),
    Attempt("kill_sibling", "signal the job in another slot", SAME_USER, "os.kill(T['other'], 0)", landlock_abi=6),
    Attempt(
        "prlimit", "set its limits", SAME_USER,
        "r = resource; r.prlimit(T['pid'], r.RLIMIT_CORE, r.prlimit(T['pid'], r.RLIMIT_CORE))",
    ),
    Attempt("renice", "lower its priority", SAME_USER, "level(os.PRIO_PROCESS, T['pid'])"),
    Attempt("renice_user", "lower that of all the user's", ONLY_PLAIN, "level(os.PRIO_USER, 0)"),
    Attempt("affinity", "bind it to a CPU", SAME_USER, "os.sched_setaffinity(T['pid'], os.sched_getaffinity(T['pid']))"),
    Attempt("ioprio", "lower its disk priority", SAME_USER, "call('ioprio_set', 1, T['pid'], 3 << 13)"),
    Attempt(
        "prlimit_keeper", "set its keeper's limits", SAME_USER,
        "r = resource; k = os.getppid(); r.prlimit(k, r.RLIMIT_CORE, r.prlimit(k, r.RLIMIT_CORE))",
    ),
    Attempt("renice_keeper", "lower its keeper's priority", SAME_USER, "level(os.PRIO_PROCESS, os.getppid())"),
    Attempt("host_tmp", "put a file into the host's /tmp", ONLY_PLAIN, "open(T['tmp'], 'x').close()", effect="tmp"),
    Attempt("host_shm", "and into its /dev/shm", ONLY_PLAIN, "open(T['shm'], 'x').close()", effect="shm"),
    Attempt("home", "and into the daemon's home", SAME_USER, "open(T['home'], 'x').close()", effect="home"),
    Attempt("sibling", "read a file of the job in another slot", SAME_USER, "open(T['sibling']).read()"),
    Attempt(
        "setuid", "become root by a setuid program", NOWHERE,
        # A program that wants to print into a full pipe stands still to be looked at.
        "import fcntl, subprocess, time\n"
        "    r, w = os.pipe(); fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096); os.write(w, bytes(4096))\n"
        "    p = subprocess.Popen(['/usr/bin/mount'], stdout=w, stderr=w); time.sleep(0.1)\n"
        "    status = open(f'/proc/{p.pid}/status').read(); p.kill()\n"
        "    return '0' in status.partition('Uid:')[2].split()[:4]",
    ),
    Attempt("mount", "mount something", NOWHERE, "call('mount', b'x', T['work'].encode(), b'tmpfs', 0, 0)"),
    Attempt("unshare_user", "make a user namespace", ONLY_PLAIN, "call('unshare', 0x10000000)", needs_level="namespace"),
    Attempt(
        "clone_user", "the same by clone", ONLY_PLAIN, "call('clone', 0x10000011, 0, 0, 0, 0) or os._exit(0)",
        needs_level="namespace",
    ),
    Attempt("sysv_shm", "attach to shared memory of the host", ONLY_PLAIN, "call('shmget', T['key'], 0, 0)"),
    Attempt("keyring", "leave a key for the next job", ONLY_PLAIN, "call('add_key', b'user', b'x', b'y', 1, -4)"),
    Attempt("memfd", "keep memory where no account sees it", ONLY_PLAIN, "os.memfd_create('x')"),
    Attempt(
        "lease", "block who opens its output by a lease", ONLY_PLAIN,
        "import fcntl; f = open('leased', 'w'); fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)",
    ),
]  # fmt: skip

_PROGRAM = """
import ctypes, errno, json, os, resource, socket, sys
T = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    result = libc.syscall(T['numbers'][name], *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0: raise OSError(ctypes.get_errno(), name)
    return result
def level(which, who):
    # To what it is: the kernel asks the same questions, and nobody is slowed down.
    os.setpriority(which, who, os.getpriority(which, who))
def attempt():
    {body}
try: print('refused' if attempt() is False else 'possible')
except OSError as error: print('refused', errno.errorcode.get(error.errno, error.errno or 'timeout'))
"""


@dataclass(frozen=True)
class Row:
    """One attempt in one column, as measured: possible, and what the job was told."""

    attempt: Attempt
    column: str
    possible: bool
    answer: str


def program_of(attempt: Attempt) -> str:
    return _PROGRAM.format(body=attempt.body)


def escape_table(measure: Callable[[Attempt, str], Row] | None = None, columns: Sequence[str] = ()) -> list[Row]:
    """Every attempt in every column; without arguments in all that this machine and this user have."""
    if measure is not None:
        return [measure(attempt, column) for attempt in ATTEMPTS for column in columns]
    from sandbox_arena import Arena

    with Arena() as arena:
        return escape_table(arena.measure, arena.columns)


def printed(rows: list[Row]) -> Iterator[str]:
    """The table in Markdown."""
    columns = list(dict.fromkeys(row.column for row in rows))
    cells = {(row.attempt.name, row.column): "**possible**" if row.possible else "refused" for row in rows}
    yield "| attempt | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for attempt in dict.fromkeys(row.attempt for row in rows):
        yield f"| {attempt.what} | " + " | ".join(cells[attempt.name, column] for column in columns) + " |"


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    print("\n".join(printed(escape_table())))
