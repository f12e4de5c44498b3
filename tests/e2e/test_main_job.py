"""The main job, end to end: a script in, its output, exit code and cause of death out. At both levels."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

import pytest

from tests.harness import Daemon, running_daemon, wait_until

LEVELS = ("namespace", "landlock", "plain")


@pytest.fixture(scope="module", params=LEVELS)
def level_daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose jobs run at the given level."""
    settings = f'kill_grace = "1s"\n[pools.scripts]\nisolation = "{request.param}"\n'
    with running_daemon(tmp_path_factory.mktemp(request.param) / "d", settings) as daemon:
        daemon.level = request.param  # type: ignore[attr-defined]
        yield daemon


@pytest.fixture
def script(tmp_path: pathlib.Path):
    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def last(daemon: Daemon) -> dict:
    return daemon.ask("show", "@last")


# name, script, options -> exit status of `run`, reason, exit_code, signal
CASES = {
    "exit 0": ("a.js", "console.log('out'); console.error('err')", (), 0, "ok", 0, None),
    "exit 7": ("a.js", "process.exit(7)", (), 7, "exit", 7, None),
    "exit 137 is no signal": ("a.js", "process.exit(137)", (), 137, "exit", 137, None),
    "self-SIGKILL": ("a.js", "process.kill(process.pid,'SIGKILL'); for(;;);", (), 137, "signal", None, "SIGKILL"),
    "throw": ("a.js", "throw new Error('boom')", (), 1, "exit", 1, None),
    "syntax error": ("a.js", "let let = 1 (", (), 1, "exit", 1, None),
    "endless loop, cpu": ("a.js", "for(;;);", ("--cpu", "1s"), 137, "cpu_limit", None, "SIGKILL"),
    "endless loop, wall": ("a.js", "for(;;);", ("--timeout", "1s"), 143, "timeout", None, "SIGTERM"),
    "ignores TERM": (
        "a.js",
        "process.on('SIGTERM',()=>{}); setInterval(()=>{},1000)",
        ("--timeout", "500ms"),
        137,
        "timeout",
        None,
        "SIGKILL",
    ),
    "Buffers beyond the memory limit": (
        "a.js",
        "const a=[]; for(let i=0;i<512;i++){a.push(Buffer.alloc(1<<20,1));} console.log(a.length)",
        ("--memory", "128M"),
        137,
        "memory_limit",
        None,
        "SIGKILL",
    ),
    "floods stdout": (
        "a.js",
        "for(;;) process.stdout.write('x'.repeat(65536))",
        ("--output", "1M"),
        137,
        "output_limit",
        None,
        "SIGKILL",
    ),
    "top-level await": ("a.mjs", "await new Promise(r=>setTimeout(r,20)); console.log('done')", (), 0, "ok", 0, None),
    "top-level await that never settles": ("a.mjs", "await new Promise(()=>{})", (), 13, "exit", 13, None),
    "python": ("a.py", "print('hi'); raise SystemExit(3)", (), 3, "exit", 3, None),
    "shell": ("a.sh", "echo hi; exit 4", (), 4, "exit", 4, None),
    "bash by its #! line": ("a.sh", "#!/bin/bash\n[[ 1 -eq 1 ]] && exit 5", (), 5, "exit", 5, None),
    "any #!": ("tool", "#!/usr/bin/env python3\nraise SystemExit(6)", (), 6, "exit", 6, None),
    "a #! that is not there": ("tool", "#!/no/such/thing\n", (), 125, "spawn_error", None, None),
}


# Where the kernel refuses memory before the keeper has seen too much of it, Node gives up by itself: the same cause.
ALSO = {"Buffers beyond the memory limit": [(134, "memory_limit", None, "SIGABRT")]}


@pytest.mark.parametrize("case", CASES)
def test_run_tells_each_end_by_its_own_reason(level_daemon: Daemon, script, case: str) -> None:
    name, text, options, status, reason, exit_code, signal = CASES[case]
    done = level_daemon.ctl("run", *options, script(name, text))
    job = last(level_daemon)
    told = (done.returncode, job["reason"], job["exit_code"], job["signal"])
    expected = [(status, reason, exit_code, signal), *ALSO.get(case, ())]
    assert told in expected, (job["message"], done.stderr.decode())
    assert job["state"] == ("completed" if reason == "ok" else "failed")
    assert job["attempts"][0]["isolation"] == level_daemon.level
    assert job["attempts"][0]["evidence"] in ("exact", "inferred", "text")
    if reason != "ok":
        assert job["message"] in done.stderr.decode()


def test_output_is_complete_when_node_exits_with_pending_writes(level_daemon: Daemon, script) -> None:
    path = script("big.js", "for(let i=0;i<20000;i++) console.log(String(i).padStart(100,'.')); process.exit(3)")
    done = level_daemon.ctl("run", path)
    assert done.returncode == 3
    assert done.stdout == b"".join(str(i).rjust(100, ".").encode() + b"\n" for i in range(20000))


def test_uncaught_error_reads_as_with_plain_node(level_daemon: Daemon, script) -> None:
    done = level_daemon.ctl("run", script("thrown.js", "null.x"))
    assert b"TypeError: Cannot read properties of null (reading 'x')" in done.stderr
    assert b"thrown.js:1" in done.stderr


def test_a_daemonised_child_dies_with_its_job(level_daemon: Daemon, script) -> None:
    path = script(
        "forks.js",
        "const {spawn}=require('child_process');"
        "spawn('setsid',['sh','-c','setsid sleep 3517 &'],{detached:true,stdio:'ignore'}).on('exit',()=>process.exit(0))",
    )
    assert level_daemon.ctl("run", path).returncode == 0
    job = last(level_daemon)
    assert job["reason"] == "ok"
    assert job["attempts"][0]["leftover_killed"] >= 1
    assert not [name for name in level_daemon.survivors().values() if "3517" in name]


def test_stdin_args_and_environment_arrive_as_they_are(level_daemon: Daemon, script, tmp_path: pathlib.Path) -> None:
    path = script(
        "args.js",
        "let s='';process.stdin.on('data',d=>s+=d).on('end',()=>"
        "console.log(JSON.stringify([process.argv.slice(2),s,process.env.K,process.cwd()===process.env.JOB_DIR,"
        "process.env.HOME===process.env.JOB_DIR])))",
    )
    stdin = tmp_path / "in.txt"
    stdin.write_text("zwei\nZeilen: üñí\n")
    done = level_daemon.ctl("run", path, "--stdin", str(stdin), "--env", "K=a=b c", "--", "two words", "ünï", "--x", "")
    assert json.loads(done.stdout) == [["two words", "ünï", "--x", ""], "zwei\nZeilen: üñí\n", "a=b c", True, True]


def test_script_from_stdin_is_node(level_daemon: Daemon) -> None:
    done = level_daemon.ctl("run", "-", stdin=b"console.log(6*7)")
    assert (done.returncode, done.stdout) == (0, b"42\n")


def test_binary_output_is_kept_byte_for_byte(level_daemon: Daemon, script) -> None:
    path = script("bytes.py", "import sys; sys.stdout.buffer.write(bytes(range(256))*300 + '\u20ac'.encode()[:2])")
    done = level_daemon.ctl("run", path)
    assert done.stdout == bytes(range(256)) * 300 + "\u20ac".encode()[:2]


def test_progress_and_result_come_back(level_daemon: Daemon, script) -> None:
    path = script(
        "says.js",
        "process.send({type:'progress',percentage:40,stage:'parsing',message:'half way'});"
        "process.send({type:'result',value:{rows:[1,2,{a:'ü'}]}});",
    )
    assert level_daemon.ctl("run", path).returncode == 0
    job = last(level_daemon)
    assert job["progress"] == {"percentage": 40.0, "stage": "parsing", "message": "half way"}
    assert level_daemon.ask("result", "@last") == {"rows": [1, 2, {"a": "ü"}]}


def test_python_says_its_result_by_the_channel_fd(level_daemon: Daemon, script) -> None:
    path = script(
        "says.py",
        "import os,json\nwith os.fdopen(int(os.environ['JOB_CHANNEL_FD']),'w') as c:\n"
        "    c.write(json.dumps({'type':'result','value':[1,None]})+'\\n')",
    )
    assert level_daemon.ctl("run", path).returncode == 0
    assert level_daemon.ask("result", "@last") == [1, None]


def test_hostile_channel_costs_only_its_own_words(level_daemon: Daemon, script) -> None:
    path = script(
        "flood.py",
        "import os\nfd=int(os.environ['JOB_CHANNEL_FD'])\n"
        "try:\n"
        '    os.write(fd,b\'garbage\\n{"type":"progress","percentage":1e999}\\n[[[\\n\')\n'
        "    for _ in range(64): os.write(fd,b'x'*65536)\n"
        "except OSError: pass\n",
    )
    assert level_daemon.ctl("run", path).returncode == 0
    assert last(level_daemon)["result"] is None


def test_a_folder_is_submitted_whole(level_daemon: Daemon, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "app"
    (folder / "lib" / "deep").mkdir(parents=True)
    (folder / "node_modules" / "greet").mkdir(parents=True)
    (folder / "package.json").write_text('{"main":"start.js"}')
    (folder / "start.js").write_text(
        "console.log(require('greet'), require('./lib/deep/x.js'), require('fs').readFileSync('lib/link','utf8'))"
    )
    (folder / "lib" / "deep" / "x.js").write_text("module.exports='deep'")
    (folder / "lib" / "link").symlink_to("deep/x.js")
    (folder / "node_modules" / "greet" / "index.js").write_text("module.exports='hi'")
    done = level_daemon.ctl("run", str(folder))
    assert (done.returncode, done.stdout) == (0, b"hi deep module.exports='deep'\n"), done.stderr.decode()


def test_more_files_by_their_place_beside_the_script(level_daemon: Daemon, script, tmp_path: pathlib.Path) -> None:
    path = script("main.js", "console.log(require('./data/x.json').v)")
    script("data/x.json", '{"v":11}')
    done = level_daemon.ctl("run", path, "--file", str(tmp_path / "data" / "x.json"))
    assert (done.returncode, done.stdout) == (0, b"11\n"), done.stderr.decode()


def test_scripts_of_a_folder_need_no_executable_bit(level_daemon: Daemon, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "main.sh").write_text("#!/bin/bash\n[[ a == a ]] && echo bash")
    (folder / "main.sh").chmod(0o600)
    (folder / "tool").write_text("#!/bin/sh\necho tool")
    (folder / "tool").chmod(0o600)
    assert level_daemon.ctl("run", str(folder)).stdout == b"bash\n"
    assert level_daemon.ctl("run", str(folder), "--main", "tool", "--runtime", "exec").stdout == b"tool\n"


def test_a_main_that_is_a_link_out_of_the_folder_is_not_followed_by_the_daemon(
    level_daemon: Daemon, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "main.sh").symlink_to("/etc/shadow")
    before = pathlib.Path("/etc/shadow").stat().st_mode
    done = level_daemon.ctl("run", str(folder))
    # Who may not read it himself is told so by his own command.
    assert done.returncode not in (0, 125) or (done.returncode == 125 and b"permission denied" in done.stderr)
    assert b"root:" not in done.stdout + done.stderr
    assert pathlib.Path("/etc/shadow").stat().st_mode == before


def test_a_source_beyond_the_inline_size_goes_through_the_spool(level_daemon: Daemon, script) -> None:
    path = script("large.js", "//" + "x" * 1_500_000 + "\nconsole.log('large')")
    done = level_daemon.ctl("run", path)
    assert (done.returncode, done.stdout) == (0, b"large\n"), done.stderr.decode()


def test_a_name_is_what_people_call_it_and_nothing_else(level_daemon: Daemon, script, tmp_path: pathlib.Path) -> None:
    path = script("where.js", "console.log(require('path').basename(__filename))")
    assert level_daemon.ctl("run", "--name", "every night.py", path, check=True).stdout == b"where.js\n"
    assert last(level_daemon)["name"] == "every night.py"
    batch = tmp_path / "jobs"
    batch.write_text(json.dumps({"file": path, "name": "nightly"}))
    job = level_daemon.ctl("submit", "-q", "--batch", str(batch), check=True).stdout.decode().strip()
    level_daemon.ctl("wait", job, check=True)
    assert level_daemon.ctl("logs", job).stdout == b"where.js\n"


def test_no_job_is_root_and_each_starts_in_an_empty_folder(level_daemon: Daemon, script) -> None:
    path = script(
        "id.js",
        "const fs=require('fs');console.log(process.getuid(),fs.readdirSync('.').join());fs.writeFileSync('x','1')",
    )
    for _ in range(4):
        done = level_daemon.ctl("run", path)
        uid, files = done.stdout.decode().split()
        assert int(uid) != 0
        assert files == "id.js"


def test_dev_stdout_can_be_opened_again(level_daemon: Daemon, script) -> None:
    done = level_daemon.ctl("run", script("again.sh", "echo one; echo two >> /dev/stdout; echo three > /dev/stderr"))
    assert (done.returncode, done.stdout) == (0, b"one\ntwo\n"), done.stderr.decode()
    assert done.stderr.startswith(b"three\n")


def test_merge_keeps_the_order_between_the_streams(level_daemon: Daemon, script) -> None:
    path = script("merge.py", "import os\nfor i in range(5): os.write(1,b'o%d\\n'%i); os.write(2,b'e%d\\n'%i)")
    done = level_daemon.ctl("run", "--merge", path)
    assert done.stdout == b"".join(b"o%d\ne%d\n" % (i, i) for i in range(5))


def test_missing_file_and_missing_interpreter_are_told_apart(level_daemon: Daemon, script) -> None:
    missing = level_daemon.ctl("submit", "/no/such/file.js")
    assert missing.returncode == 2
    assert "no such file" in missing.stderr.decode().lower()
    inside = level_daemon.ctl("run", script("a.js", "require('./not-there')"))
    assert inside.returncode == 1
    assert "--file" in last(level_daemon)["message"]


def test_a_missing_interpreter_is_known_at_submit(make_daemon, script) -> None:
    daemon = make_daemon(settings='[pools.scripts]\nnode = "/no/such/node"\n').start()
    wait_until(lambda: daemon.ask("status")["isolation"]["missing"], saying="what the workers miss")
    assert daemon.ctl("submit", script("a.js", "1")).returncode == 6
    done = daemon.ctl("run", script("a.js", "1"))
    assert done.returncode == 125
    assert "/no/such/node" in done.stderr.decode()
    assert daemon.ctl("run", script("a.sh", "exit 0")).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only a root daemon's jobs have another user")
@pytest.mark.parametrize("level", LEVELS)
def test_an_interpreter_in_a_closed_folder_is_bound_or_known_to_be_missing(
    make_daemon, script, tmp_path, level
) -> None:
    closed = tmp_path / "closed"
    node = closed / "installed" / "bin" / "node"
    node.parent.mkdir(parents=True)
    node.symlink_to(shutil.which("node"))
    closed.chmod(0o700)
    daemon = make_daemon(settings=f'[pools.scripts]\nisolation = "{level}"\nnode = "{node}"\n').start()
    wait_until(lambda: daemon.ask("status")["isolation"]["interpreters"], saying="the workers")
    done = daemon.ctl("run", script("a.js", "console.log(1)"))
    if level == "namespace":
        assert (done.returncode, done.stdout) == (0, b"1\n"), done.stderr.decode()
    else:
        assert done.returncode == 125
        assert f"does not run at isolation {level}" in done.stderr.decode()


@pytest.mark.parametrize("level", LEVELS)
def test_a_pools_modules_are_found_and_cannot_be_written(make_daemon, script, tmp_path, level) -> None:
    modules = pathlib.Path(tempfile.mkdtemp(prefix="workerctl-modules-", dir="/var/tmp"))
    try:
        modules.chmod(0o755)
        (modules / "greet").mkdir()
        (modules / "greet" / "index.js").write_text("module.exports = 'hi'")
        daemon = make_daemon(settings=f'[pools.scripts]\nisolation = "{level}"\nmodules = "{modules}"\n').start()
        text = "console.log(require('greet')); require('fs').writeFileSync('node_modules/greet/x', '1')"
        done = daemon.ctl("run", script("uses.js", text))
        assert done.stdout == b"hi\n", done.stderr.decode()
        if level != "plain" or os.geteuid() == 0:
            assert done.returncode == 1
        missing = daemon.ctl("run", script("misses.mjs", "import 'absent'"))
        assert missing.returncode == 1
        assert "modules" in last(daemon)["message"]
    finally:
        shutil.rmtree(modules)


def test_a_limit_that_cannot_be_enforced_is_refused_only_when_asked_for(level_daemon: Daemon, script) -> None:
    wait_until(lambda: level_daemon.ask("status")["isolation"]["enforced"], saying="the workers")
    done = level_daemon.ctl("submit", "--disk", "10M", script("a.js", "1"))
    if level_daemon.level == "namespace":
        assert done.returncode == 0, done.stderr.decode()
    else:
        assert done.returncode == 6
        assert "not enforced" in done.stderr.decode()
    assert level_daemon.ctl("run", script("a.js", "1")).returncode == 0


def test_a_pool_that_demands_more_than_the_job_asks_for_refuses_it(make_daemon, script) -> None:
    daemon = make_daemon(settings='[pools.scripts]\nisolation_minimum = "namespace"\n').start()
    refused = daemon.ctl("submit", "--isolation", "plain", script("a.js", "1"))
    assert refused.returncode == 6
    assert "isolation_minimum" in refused.stderr.decode()
    assert daemon.ctl("run", script("a.js", "1")).returncode == 0


def test_typescript_is_refused_where_node_cannot_run_it(level_daemon: Daemon, script) -> None:
    wait_until(lambda: level_daemon.ask("status")["isolation"]["interpreters"], saying="the workers' interpreters")
    node = level_daemon.ask("status")["isolation"]["interpreters"]["node"].split()[0]
    done = level_daemon.ctl("run", script("a.ts", "const x: number = 1; console.log(x)"))
    if tuple(map(int, node.split("."))) < (22, 18):
        assert done.returncode == 125
        assert "22.18" in done.stderr.decode()
        assert level_daemon.ctl("submit", script("a.ts", "const x: number = 1")).returncode == 6
    else:
        assert (done.returncode, done.stdout) == (0, b"1\n")


def test_editing_the_file_after_submit_changes_nothing(level_daemon: Daemon, script) -> None:
    path = script("edited.js", "console.log('before')")
    job = level_daemon.ctl("-q", "submit", "--delay", "300ms", path).stdout.decode().strip()
    pathlib.Path(path).write_text("console.log('after')")
    assert level_daemon.ctl("wait", job).returncode == 0
    assert level_daemon.ctl("logs", job).stdout == b"before\n"


def test_cancel_ends_a_running_tree(level_daemon: Daemon, script) -> None:
    path = script("long.sh", "sleep 3518 & sleep 3518")
    job = level_daemon.ctl("-q", "submit", path).stdout.decode().strip()
    wait_until(lambda: [n for n in level_daemon.survivors().values() if "3518" in n], saying="the job's start")
    began = time.monotonic()
    assert level_daemon.ctl("cancel", job).returncode == 0
    assert level_daemon.ctl("wait", job).returncode == 1
    assert time.monotonic() - began < 4
    shown = level_daemon.ask("show", job)
    assert (shown["state"], shown["reason"], shown["signal"]) == ("cancelled", "cancelled", "SIGTERM")
    assert not [n for n in level_daemon.survivors().values() if "3518" in n]
    assert level_daemon.ctl("cancel", job).returncode == 4


def test_retry_runs_it_again_with_the_next_number(level_daemon: Daemon, script) -> None:
    path = script("again.js", "console.log(process.env.JOB_ATTEMPT); process.exit(1)")
    assert level_daemon.ctl("run", path).returncode == 1
    job = str(last(level_daemon)["id"])
    assert level_daemon.ctl("retry", job).returncode == 0
    level_daemon.ctl("wait", job)
    shown = level_daemon.ask("show", job)
    assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2]
    assert level_daemon.ctl("logs", job).stdout == b"2\n"
    assert level_daemon.ctl("logs", "--attempt", "1", job).stdout == b"1\n"


def test_retries_are_tried_and_counted(level_daemon: Daemon, script) -> None:
    path = script("flaky.js", "process.exit(process.env.JOB_ATTEMPT === '3' ? 0 : 9)")
    done = level_daemon.ctl("run", "--retries", "5", "--backoff", "10ms", path)
    assert done.returncode == 0
    job = last(level_daemon)
    assert [attempt["reason"] for attempt in job["attempts"]] == ["exit", "exit", "ok"]
    assert (job["attempt"], job["retries"]) == (3, 5)


def test_follow_can_be_joined_late_and_sees_every_byte(level_daemon: Daemon, script) -> None:
    path = script(
        "slow.js", "let i=0;const t=setInterval(()=>{console.log('line '+i++);if(i===20)clearInterval(t)},20)"
    )
    job = level_daemon.ctl("-q", "submit", path).stdout.decode().strip()
    expected = b"".join(b"line %d\n" % i for i in range(20))
    assert level_daemon.ctl("logs", "-f", job).stdout == expected
    assert level_daemon.ctl("logs", job).stdout == expected
    assert level_daemon.ctl("logs", "--tail", "2", job).stdout == b"line 18\nline 19\n"


@pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not installed")
def test_the_socket_speaks_by_hand(level_daemon: Daemon) -> None:
    import subprocess

    done = subprocess.run(
        ["socat", "-t5", "-", f"UNIX:{level_daemon.socket}"],
        input=b'{"op":"status","id":1}\n',
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["re"] == "ok"
