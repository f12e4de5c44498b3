"""What of a file, a folder or standard input is sent, and how."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import sys
import tarfile

import pytest
from fake_broker import DROP, said

from ctl import InvalidRequest
from ctl.blob import Blob
from ctl.script import INLINE_BYTES, read_script
from ctl.tarball import pack
from ctl.upload import PIECE_BYTES
from supervisor.core.errors import RequestError


@pytest.fixture
def submit(client, broker):
    """Submits and returns what was said."""
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})

    def run(*args, **options):
        client.submit(*args, **options)
        return said(broker.asked("submit")[-1])

    return run


def test_a_text_of_256_kib_goes_inside(submit, script, broker):
    script.write_bytes(b"x" * INLINE_BYTES)
    assert submit(script) == {"name": "file.js", "source": "x" * INLINE_BYTES}
    assert not broker.asked("put")


@pytest.mark.parametrize("size", [1, INLINE_BYTES + 1])
def test_a_file_name_that_is_no_utf_8_is_shown_as_far_as_it_is(submit, tmp_path, size):
    path = os.fsencode(tmp_path) + b"/a\xff.py"
    with open(path, "wb") as file:
        file.write(b"#" * size)
    fields = submit(os.fsdecode(path))
    assert fields["name"] == fields.get("main", "a\ufffd.py") == "a\ufffd.py"


def test_a_name_is_the_jobs_and_the_file_keeps_its_own(submit, script):
    script.write_text("1")
    assert submit(script, name="nightly") == {"name": "nightly", "main": "file.js", "source": "1"}
    assert submit(script, name="file.js") == {"name": "file.js", "source": "1"}
    assert submit(source="1", main="a.mjs", name="nightly") == {"name": "nightly", "main": "a.mjs", "source": "1"}
    assert submit(source="1", name="a.mjs") == {"name": "a.mjs", "type": "node", "source": "1"}


def test_one_byte_more_is_put_first(submit, script, broker):
    data = b"x" * (INLINE_BYTES + 1)
    script.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    assert submit(script) == {"name": "file.js", "main": "file.js", "contents": [_content(sha256, "file.js")]}
    assert broker.spool[sha256] == data


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\x01" * (200 << 10)], ids=["no UTF-8", "long when escaped"])
def test_what_json_cannot_carry_is_put_first(submit, script, broker, data):
    script.write_bytes(data)
    assert "contents" in submit(script)
    assert broker.spool[hashlib.sha256(data).hexdigest()] == data


def test_an_empty_script_and_odd_line_ends_arrive_as_they_are(submit, script):
    script.write_bytes(b"")
    assert submit(script)["source"] == ""
    script.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\x00")
    assert submit(script)["source"] == "\ufeffa\r\nb\rc\x00"


def test_an_executable_script_keeps_its_bit(submit, script):
    script.write_bytes(b"\xff")
    script.chmod(0o750)
    assert submit(script)["contents"][0]["mode"] == 0o755


@pytest.mark.parametrize(
    ("name", "data", "job_type"),
    [
        ("tool", b"#!/bin/sh\n\xff", "exec"),
        ("tool.pl", b"#!/usr/bin/perl\n\xff", "exec"),
        ("tool", b"\x7fELF\x02", "exec"),
        ("tool.py", b"#!/usr/bin/python\n\xff", None),
        ("tool", b"\xff", None),
    ],
)
def test_what_was_put_tells_its_type_by_its_head(submit, tmp_path, name, data, job_type):
    (tmp_path / "project").mkdir()
    path = tmp_path / "project" / name
    path.write_bytes(data + b"\xff")
    assert submit(path).get("type") == job_type
    assert submit(path.parent, main=name).get("type") == job_type
    assert submit(path, runtime="shell")["type"] == "shell"


def test_a_large_file_comes_in_pieces_that_go_on_after_a_break(submit, client, script, broker):
    data = os.urandom(PIECE_BYTES * 2 + 5)
    script.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    put, drops = broker._handlers["put"], [3]

    def unreliable(request, peer):
        drops[0] -= 1
        answer = put(request, peer)
        return DROP if drops[0] == 0 else answer

    broker.on("put", unreliable)
    submit(script)
    assert broker.spool[sha256] == data
    assert [request.offset for request in broker.asked("put")] == [0, 0, PIECE_BYTES, PIECE_BYTES, PIECE_BYTES * 2]


def test_what_the_daemon_has_is_not_sent_again(submit, script, broker):
    script.write_bytes(os.urandom(PIECE_BYTES * 2))
    submit(script), submit(script)
    assert sum(len(request.data) for request in broker.asked("put")) < PIECE_BYTES * 2 * 1.4


def test_content_thrown_away_in_between_is_put_again(client, script, broker):
    script.write_bytes(b"\xff")
    broker.answers("submit", RequestError("unknown_source", "gone"), {"job": 42, "created": True, "warnings": []})
    assert client.submit(script).id == 42
    assert len(broker.asked("put")) == 2


def test_files_lie_where_they_lay_beside_the_script(submit, script, broker, tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "parse.js").write_text("1")
    (tmp_path / "tool").write_text("2")
    (tmp_path / "tool").chmod(0o700)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    request = submit("../file.js", files=["../lib/parse.js", str(tmp_path / "tool"), "../lib"])
    assert request["main"] == "file.js" and "source" not in request
    assert [(c["path"], c.get("mode", 0o644), c.get("kind", "file")) for c in request["contents"]] == [
        ("file.js", 0o644, "file"),
        ("lib/parse.js", 0o644, "file"),
        ("tool", 0o755, "file"),
        ("lib", 0o644, "tar"),
    ]
    assert all(c["sha256"] in broker.spool for c in request["contents"])


def test_a_file_outside_of_the_scripts_folder_is_refused(client, broker, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.js").write_text("")
    (tmp_path / "secret").write_text("")
    with pytest.raises(InvalidRequest, match="outside of the script's folder"):
        client.submit(tmp_path / "inner" / "a.js", files=[tmp_path / "secret"])
    with pytest.raises(InvalidRequest, match="given twice"):
        client.submit(tmp_path / "inner" / "a.js", files=[tmp_path / "inner" / "a.js"])
    assert broker.requests == []


def test_input_goes_inside_or_is_put(submit, script, broker, tmp_path):
    (tmp_path / "in").write_text("some input")
    assert submit(script, stdin_file=tmp_path / "in")["stdin"] == "some input"
    assert submit(script, stdin="text")["stdin"] == "text"
    request = submit(script, stdin=b"\xff")
    assert broker.spool[request["stdin_sha256"]] == b"\xff" and "stdin" not in request


def test_a_script_from_standard_input_is_node_unless_it_says_otherwise(submit, monkeypatch):
    def standard_input(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    standard_input(b"1")
    assert submit("-") == {"name": "stdin", "source": "1", "type": "node"}
    standard_input(b"#!/bin/sh\n")
    assert "type" not in submit("-")
    standard_input(b"1")
    assert submit("-", runtime="python")["type"] == "python"
    standard_input(b"\xff")
    request = submit("-")
    assert (request["main"], request["type"]) == ("stdin", "node")


def test_a_pipe_is_read_as_a_file(submit):
    reader, writer = os.pipe()
    os.write(writer, b"echo 1\n")
    os.close(writer)
    assert submit(f"/dev/fd/{reader}", runtime="shell")["source"] == "echo 1\n"
    os.close(reader)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "project"
    (root / "src" / "deep").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("secret")
    (root / ".env").write_text("A=1")
    (root / "index.js").write_text("require('./src/a')")
    (root / "src" / "a.js").write_text("a")
    (root / "src" / "deep" / ("n" * 200)).write_text("long name")
    os.link(root / "index.js", root / "hard.js")
    (root / "link").symlink_to("src/a.js")
    (root / "run.sh").write_text("")
    (root / "run.sh").chmod(0o700)
    return root


def test_a_folder_gives_the_same_bytes_whoever_packs_it_and_when(folder):
    first, skipped = pack(str(folder))
    for path in folder.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    os.rename(folder / "src" / "a.js", folder / "tmp")
    os.rename(folder / "tmp", folder / "src" / "a.js")
    (folder / "index.js").chmod(0o600)
    second, _ = pack(str(folder) + "/")
    assert first.sha256 == second.sha256 and skipped == []


def test_what_a_folder_is_packed_to(folder):
    with tarfile.open(fileobj=io.BytesIO(pack(str(folder))[0].read())) as archive:
        members = {member.name: member for member in archive}
        content = {name: archive.extractfile(name).read() for name, member in members.items() if member.isreg()}
    assert list(members) == sorted(members, key=lambda name: name.split("/"))
    assert ".env" in members and not any(".git" in name for name in members)
    assert members["link"].issym() and members["link"].linkname == "src/a.js"
    assert content["hard.js"] == b"require('./src/a')"
    assert (members["run.sh"].mode, members["index.js"].mode, members["src"].mode) == (0o755, 0o644, 0o755)
    assert {(m.uid, m.gid, m.mtime, m.uname, m.gname) for m in members.values()} == {(0, 0, 0, "", "")}
    assert content["src/deep/" + "n" * 200] == b"long name"


def test_a_socket_in_a_folder_is_left_out_and_told(folder, client, broker):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "s"))
        broker.answers("submit", {"job": 42, "created": True, "warnings": []})
        assert "left out" in client.submit(folder).warnings[0]


def test_a_folder_is_submitted_as_one_tar(submit, folder, broker):
    request = submit(folder)
    assert (request["name"], request["main"]) == ("project", "index.js")
    [content] = request["contents"]
    assert (content["kind"], content.get("path", ".")) == ("tar", ".")
    assert content["sha256"] in broker.spool


@pytest.mark.parametrize(
    ("files", "main", "expected"),
    [
        ({"index.js": "", "main.py": ""}, None, "index.js"),
        ({"main.py": "", "main.sh": ""}, None, "main.py"),
        ({"main.sh": ""}, None, "main.sh"),
        ({"index.js": "", "package.json": '{"main": "./src/go"}', "src/go.js": ""}, None, "src/go.js"),
        ({"package.json": '{"main": "src"}', "src/index.js": ""}, None, "src/index.js"),
        ({"index.js": "", "package.json": '{"name": "x"}'}, None, "index.js"),
        ({"index.js": "", "other.py": ""}, "other.py", "other.py"),
    ],
)
def test_which_script_of_a_folder_is_run(tmp_path, files, main, expected):
    _write(tmp_path / "f", files)
    assert read_script(str(tmp_path / "f"), main).fields["main"] == expected


@pytest.mark.parametrize(
    ("files", "main", "message"),
    [
        ({"other.js": ""}, None, "name it with --main"),
        ({"index.js": ""}, "../f/index.js", "no such file"),
        ({"index.js": ""}, "/etc/passwd", "no such file"),
        ({"index.js": ""}, "none.js", "no such file"),
        ({"index.js": "", "package.json": "{"}, None, "cannot be read"),
        ({"index.js": "", "package.json": '{"main": "../x"}'}, None, "no such file"),
    ],
)
def test_a_folder_that_does_not_say_what_to_run(tmp_path, files, main, message):
    _write(tmp_path / "f", files)
    with pytest.raises(InvalidRequest, match=message):
        read_script(str(tmp_path / "f"), main)


def test_a_blob_reads_any_range():
    blob = Blob(io.BytesIO(b"0123456789"))
    assert (blob.size, blob.read(3, 4), blob.read()) == (10, b"3456", b"0123456789")


def _write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _content(sha256, path):
    return {"sha256": sha256, "path": path, "mode": 0o644, "kind": "file"}
