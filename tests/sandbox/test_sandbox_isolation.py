"""What a job can see, reach and become."""

from __future__ import annotations

import os
import socket
import tempfile

import pytest
from sandbox_bench import HERE, JOB_UID, ROOT, SLOT_UID, Bench, wait_until

from supervisor.sandbox import Bind, Holder, SandboxError, SlotClass

needs_private_root = pytest.mark.skipif("namespace" not in HERE, reason="this machine has no such level")

STATUS = ["/usr/bin/grep", "-E", "^(NoNewPrivs|Cap|Sig(Blk|Ign))", "/proc/self/status"]


def test_the_job_has_no_privileges_and_clean_signals(bench: Bench) -> None:
    lines = dict(line.split(":\t") for line in bench.run(STATUS).out.splitlines())
    assert lines["NoNewPrivs"] == "1"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb", "SigBlk", "SigIgn"):
        assert int(lines[kind], 16) == 0, (kind, lines)
    if ROOT or bench.private:  # an ordinary user at plain may not shrink a set that he cannot use either
        assert int(lines["CapBnd"], 16) == 0


def test_the_job_runs_as_its_uid_alone_in_a_session_of_its_own(bench: Bench) -> None:
    source = """
import os
print(os.getresuid(), os.getresgid(), os.getgroups() in ([], [os.getgid()]), os.getsid(0) == os.getpid())
print(oct(os.umask(0)), open('/proc/self/oom_score_adj').read().strip())
"""
    gid = SLOT_UID if ROOT else os.getegid()
    expected = f"{(JOB_UID,) * 3} {(gid,) * 3} True True\n0o77 1000\n"
    assert bench.python(source).out == expected
    assert not ROOT or JOB_UID != 0


@pytest.mark.parametrize("with_channel", [False, True])
def test_only_the_agreed_descriptors_reach_the_job(level: str, with_channel: bool) -> None:
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as lock, ours, theirs:
        os.set_inheritable(lock.fileno(), True)
        bench = Bench(level, keep_fds=[lock.fileno()])
        try:
            own = f"/proc/{bench.holder.pid}/fd"
            held = {os.readlink(f"{own}/{fd}") for fd in os.listdir(own)} if ROOT else set()
            assert not ROOT or os.readlink(f"/proc/self/fd/{lock.fileno()}") in held
            source = "import os\nprint(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1])\n"
            source += "import sys\nif len(sys.argv) > 1: os.write(3, b'hello')\n"
            words = ["x"] if with_channel else []
            result = bench.python(source, *words, channel=theirs.fileno() if with_channel else None)
            assert result.out == ("[0, 1, 2, 3]\n" if with_channel else "[0, 1, 2]\n"), result
            if with_channel:
                assert ours.recv(100) == b"hello"
        finally:
            bench.close()


def test_the_job_sees_only_itself_and_its_keeper(private_bench: Bench) -> None:
    out = private_bench.python("import os; print([p for p in os.listdir('/proc') if p.isdigit()])").out
    assert out == "['1', '2']\n"


@pytest.mark.parametrize("signal", ["INT", "TERM", "KILL", "STOP", "CHLD", "SEGV"])
def test_the_job_cannot_harm_its_keeper(private_bench: Bench, signal: str) -> None:
    look = "ls -l /proc/1/exe /proc/1/fd; cat /proc/1/environ"
    source = f"kill -{signal} 1; kill -{signal} 1; sleep 0.1; {look}; exit 6"
    result = private_bench.shell(source)
    assert result.code == 6
    assert "python" not in result.out
    assert "denied" in result.err


def test_killing_everything_in_sight_kills_only_the_job(private_bench: Bench) -> None:
    with private_bench.open_job(["/bin/sleep", "600"]) as other:
        other.started()
        result = private_bench.python("import os\ntry: os.kill(-1, 9)\nfinally: os.kill(os.getpid(), 9)")
        assert result.code == -9
        assert result.ended.killed_for is None
        other.slot.end(kill=False)
        assert other.finish().code == -15


def test_several_slots_of_one_holder_run_side_by_side(private_bench: Bench) -> None:
    jobs = [private_bench.open_job(["/bin/sh", "-c", f"echo up; sleep 600; exit {n}"]) for n in range(3)]
    for job in jobs:
        job.until_output("up")
    for job in jobs:
        job.slot.end(kill=True)
        assert job.finish().code == -9
        assert job.slot.close()


def test_the_job_can_write_only_where_it_should(private_bench: Bench) -> None:
    source = """
import os
writable = []
for top, folders, files in os.walk('/'):
    if top.startswith(('/proc', '/usr/share', '/usr/lib')): folders.clear(); continue
    try: os.close(os.open(top + '/probe', os.O_CREAT | os.O_WRONLY)); writable.append(top)
    except OSError: pass
print(sorted(writable))
"""
    assert private_bench.python(source).out == "['/dev/shm', '/job', '/tmp']\n"


def test_the_job_sees_nothing_of_the_hosts_files(private_bench: Bench) -> None:
    hidden = f"{private_bench.root} /root /home /work /sys /etc/shadow"
    result = private_bench.shell(f"ls {hidden}; ls -A /.slot /.binds")
    assert result.out == "/.binds:\n\n/.slot:\n", result


def test_the_system_of_the_job_is_whole_enough(private_bench: Bench) -> None:
    source = """
const dns = require('dns'), fs = require('fs'), os = require('os'), cp = require('child_process');
console.log(os.userInfo().username, os.hostname(), process.memoryUsage().rss > 0);
console.log(String(cp.execSync('id -un')).trim());
fs.writeFileSync('/dev/null', 'x'); fs.writeFileSync('/tmp/x', 'x');
dns.lookup('localhost', (error, address) => console.log(error, address));
"""
    result = private_bench.node(source)
    assert result.out == "job job true\njob\nnull 127.0.0.1\n", result


def test_there_is_no_network_but_a_working_loopback(private_bench: Bench) -> None:
    source = """
const net = require('net');
net.connect(80, '1.1.1.1').on('error', e => console.log(e.code)).on('connect', () => console.log('out'));
const server = net.createServer(c => c.end('hi')).listen(8000, '127.0.0.1', () =>
  net.connect(8000, '127.0.0.1').on('data', d => { console.log(String(d)); server.close(); }));
"""
    assert sorted(private_bench.node(source).out.split()) == ["ENETUNREACH", "hi"]


def test_with_network_the_host_is_reachable(private_bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = f"""
require('net').connect({port}, '127.0.0.1').on('connect', () => process.exit(5)).on('error', () => process.exit(6));
"""
        assert private_bench.node(source, slot_class=SlotClass(network=True)).code == 5
        assert private_bench.node(source).code == 6
    hosts = private_bench.shell("cat /etc/hosts", slot_class=SlotClass(network=True)).out
    with open("/etc/hosts") as file:
        assert hosts == file.read()


def test_the_next_job_of_a_slot_sees_nothing_of_the_former(private_bench: Bench) -> None:
    first = """
import ctypes, os, socket
for place in ('/job', '/tmp', '/dev/shm'): open(place + '/mine', 'w').write('secret')
assert ctypes.CDLL(None).shmget(0x1234, 4096, 0o1666) >= 0
server = socket.create_server(('127.0.0.1', 9000)); client = socket.create_connection(('127.0.0.1', 9000))
"""
    second = """
import ctypes, os
print([os.listdir(place) for place in ('/tmp', '/dev/shm')], os.listdir('/job'))
print(ctypes.CDLL(None).shmget(0x1234, 4096, 0), len(open('/proc/net/tcp').readlines()), os.getpid())
"""
    assert private_bench.python(first).code == 0
    assert private_bench.python(second).out == "[[], []] ['job.py']\n-1 1 2\n"


def test_work_on_the_disk_is_removed_with_its_slot(bench: Bench) -> None:
    disk = SlotClass(work="disk")
    with bench.open_job(["/bin/sh", "-c", "mkdir a; echo secret > a/b"], slot_class=disk) as job:
        assert job.finish().code == 0
        assert os.listdir(job.work_fd) == ["a"]
    assert bench.shell("ls -A", slot_class=disk).out == ""
    assert set(os.listdir(f"{bench.root}/slot1")) <= {"root"}


def test_a_user_namespace_gives_nothing_to_an_ordinary_users_job(private_bench: Bench) -> None:
    result = private_bench.shell("unshare -Ur id -u")
    assert ROOT or result.out != "0\n"
    assert private_bench.shell("unshare -m true").code != 0
    assert private_bench.shell("mount -t tmpfs x /tmp").code != 0


@needs_private_root
def test_binds_show_host_paths_read_only_or_writable() -> None:
    with tempfile.TemporaryDirectory() as host:
        os.chmod(host, 0o777)
        os.makedirs(f"{host}/modules/left")
        with open(f"{host}/single", "w") as file:
            file.write("one file")
        binds = [
            Bind(f"{host}/modules", "/srv/deep/modules"),
            Bind(f"{host}/modules", "/job/node_modules"),
            Bind(f"{host}/single", "/opt/single"),
            Bind(host, "/srv/shared", writable=True),
        ]
        bench = Bench("namespace", binds=binds)
        try:
            result = bench.shell(
                "ls /srv/deep/modules /job/node_modules; cat /opt/single; echo; echo >/srv/shared/new; "
                "touch /job/node_modules/x; touch /srv/deep/modules/x; stat -c %a /srv /srv/deep; "
                "touch /job/own; ls /job"
            )
            assert result.out.split() == ["/job/node_modules:", "left", "/srv/deep/modules:", "left", "one", "file",
                                          "755", "755", "node_modules", "own"]  # fmt: skip
            assert result.err.count("Read-only file system") == 2
            assert os.path.exists(f"{host}/new")
            assert os.listdir(f"{host}/modules") == ["left"]
        finally:
            bench.close()


@needs_private_root
def test_a_bind_that_would_show_the_daemons_state_is_refused() -> None:
    with tempfile.TemporaryDirectory() as state:
        os.mkdir(f"{state}/work")
        with pytest.raises(SandboxError) as caught:
            Holder.start(
                "namespace", work_root=f"{state}/work", name="1", slot_uid=SLOT_UID if ROOT else None,
                binds=[Bind(state, "/state")],
            )  # fmt: skip
    assert caught.value.step == "bind"
    assert "daemon's own state" in str(caught.value)


def test_the_keeper_shows_its_title_and_nothing_else(private_bench: Bench) -> None:
    with private_bench.open_job(["/bin/sleep", "600"]) as job:
        job.started()
        keeper = job.slot.keeper_pid
        with open(f"/proc/{keeper}/cmdline") as file:
            assert file.read().strip("\0").startswith(f"{private_bench.token}: keeper"[:60])
        job.slot.end(kill=True)
        job.finish()
    wait_until(lambda: not os.path.exists(f"/proc/{keeper}"), "the keeper's end")


@pytest.mark.skipif(not ROOT, reason="only root has other uids to give")
def test_root_must_name_a_uid_for_its_jobs(level: str) -> None:
    for uid in (None, 0):
        with pytest.raises(SandboxError, match="another uid"):
            Holder.start(level, work_root="/tmp", name="x", slot_uid=uid)


def test_the_keeper_is_weak_and_deaf_and_cannot_be_looked_into(bench: Bench) -> None:
    with bench.open_job(["/bin/sleep", "600"]) as job:
        job.started()
        keeper = job.slot.keeper_pid or bench.holder.pid
        with open(f"/proc/{keeper}/status") as file:
            lines = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        assert lines["NoNewPrivs"] == "1"
        assert lines["SigBlk"] == f"{1 << 16:016x}", "SIGCHLD alone, read from a descriptor"
        assert int(lines["SigCgt"], 16) == int(lines["SigIgn"], 16) == 0
        assert lines["Seccomp"] == "2" or not bench.private
        if bench.private:
            assert int(lines["CapEff"], 16) == sum(1 << capability for capability in (5, 6, 7, 19))
        assert int(lines["CapBnd"], 16) == 0 or not (ROOT or bench.private)
        assert os.stat(f"/proc/{keeper}/environ").st_uid == 0, "not dumpable: the kernel shows it as root's"
        with open(f"/proc/{keeper}/oom_score_adj") as file, open("/proc/self/oom_score_adj") as own:
            assert file.read() == own.read()
        job.slot.end(kill=True)
        job.finish()


@needs_private_root
def test_a_bind_below_var_tmp_is_seen_there_and_leaves_nothing_on_the_host() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as host:
        os.chmod(host, 0o755)
        with open(f"{host}/given", "w") as file:
            file.write("given")
        bench = Bench("namespace", binds=[Bind(host, host)])
        try:
            assert bench.shell(f"cat {host}/given").out == "given"
            assert not os.path.exists(host.removeprefix("/var"))
        finally:
            bench.close()
