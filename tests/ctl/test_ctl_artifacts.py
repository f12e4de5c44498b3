"""`artifacts` against the fake broker: lists, one file, a tree that stays below its folder."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from ctl import Client, InvalidRequest, NotFound
from ctl.artifacts import PIECE_BYTES

LARGE = bytes(range(256)) * 5000


class Store:
    """What a broker has of one attempt, and the answers to both ops, pages of two names."""

    def __init__(self, broker: Any, files: dict[bytes, bytes]) -> None:
        self.files = files
        broker.on("artifacts", self.listed)
        broker.on("artifact", self.piece)

    def listed(self, request: Any, peer: Any) -> dict[str, Any]:
        rows = [self.row(index, name) for index, name in enumerate(self.files, 1)]
        page = rows[request.after : request.after + 2]
        after = request.after + 2
        return {"attempt": 3, "ended": True, "artifacts": page, "next": after if after < len(rows) else None}

    def row(self, index: int, name: bytes) -> dict[str, Any]:
        row = {"index": index, "name": name.decode(errors="backslashreplace"), "mode": 0o640}
        row["size"] = len(self.files[name])
        try:
            name.decode()
        except UnicodeDecodeError:
            row["name_base64"] = b64encode(name).decode()
        return row

    def piece(self, request: Any, peer: Any) -> dict[str, Any]:
        assert request.attempt == 3, "the attempt that was listed"
        data = [*self.files.values()][request.index - 1]
        piece = data[request.offset : request.offset + request.length]
        end = request.offset + len(piece)
        return {"attempt": 3, "size": len(data), "eof": end >= len(data), "data": b64encode(piece).decode()}


FILES = {b"a.txt": b"hello\n", b"sub/large": LARGE, b"sub/empty": b"", b"new\nline": b"n", b"not \xff utf-8": b"bytes"}


@pytest.fixture
def store(broker) -> Store:
    return Store(broker, dict(FILES))


def tree(folder: Path) -> dict[bytes, bytes]:
    found = {}
    for where, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, os.fsencode(folder))] = file.read()
    return found


def test_the_list_is_whole_and_moves_no_cursor(ctl, store):
    lines = ctl("artifacts", "42").text.splitlines()
    assert lines[0].split() == ["INDEX", "SIZE", "MODE", "NAME"] and len(lines) == 6
    assert lines[1].split() == ["1", "6", "B", "0640", "a.txt"]
    assert lines[4].endswith("new\\nline") and lines[5].endswith("not \\xff utf-8")
    rows = json.loads(ctl("artifacts", "42", "--json").out)
    assert [row["index"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[4]["name_base64"] == b64encode(b"not \xff utf-8").decode()
    assert ctl("artifacts", "-q", "42").text.splitlines()[:2] == ["a.txt", "sub/large"]


def test_the_attempt_is_asked_for(ctl, broker, store):
    ctl("artifacts", "42", "--attempt", "2")
    assert broker.asked("artifacts")[0].attempt == 2
    assert ctl("artifacts", "42", "--attempt", "0").code == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"attempt": None, "ended": False}, "has not been started yet"),
        ({"attempt": 1, "ended": False}, "attempt 1 of job 42 is running"),
        ({"attempt": 1, "ended": True}, "attempt 1 of job 42 left no artifacts"),
    ],
)
def test_why_there_are_none(ctl, broker, answer, words):
    broker.answers("artifacts", {**answer, "artifacts": [], "next": None})
    result = ctl("artifacts", "42")
    assert (result.code, result.out) == (0, b"") and words in result.talk
    assert ctl("artifacts", "42", "--json").out == b"[]\n"


@pytest.mark.parametrize("name", ["sub/large", "not \\xff utf-8", os.fsdecode(b"not \xff utf-8"), "new\nline"])
def test_one_goes_to_stdout_byte_for_byte(ctl, store, name):
    raw = name.replace("\\xff", "\udcff").encode(errors="surrogateescape")
    assert ctl("artifacts", "42", "--get", name, "-o", "-").out == FILES[raw]


def test_a_large_one_comes_in_pieces(ctl, broker, store, tmp_path):
    target = tmp_path / "there"
    assert ctl("artifacts", "42", "--get", "sub/large", "-o", str(target)).text == f"{target}\n"
    assert target.read_bytes() == LARGE and target.stat().st_mode & 0o777 == 0o640 & ~_umask()
    assert len(broker.asked("artifact")) == -(-len(LARGE) // PIECE_BYTES)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_that_is_there_is_replaced_with_force_alone(ctl, store, tmp_path):
    target, victim = tmp_path / "there", tmp_path / "victim"
    victim.write_bytes(b"precious")
    target.symlink_to(victim)
    result = ctl("artifacts", "42", "--get", "a.txt", "-o", str(target))
    assert result.code == 2 and "--force" in result.talk and target.is_symlink()
    assert ctl("artifacts", "42", "--get", "a.txt", "-o", str(target), "--force").code == 0
    assert (target.read_bytes(), target.is_symlink(), victim.read_bytes()) == (b"hello\n", False, b"precious")


@pytest.mark.parametrize(
    "words",
    [
        ["--get", "a.txt"],
        ["-o", "x"],
        ["--force"],
        ["--get", "a.txt", "--all", "x", "-o", "-"],
        ["--json", "--get", "a.txt", "-o", "-"],
    ],
)
def test_options_that_make_no_sense_together(ctl, store, words):
    assert ctl("artifacts", "42", *words).code == 2


def test_a_name_that_is_not_there(ctl, store, tmp_path):
    result = ctl("artifacts", "42", "--get", "nothing", "-o", str(tmp_path / "x"))
    assert result.code == 3 and "attempt 3 of job 42 left no 'nothing'" in result.talk
    assert not (tmp_path / "x").exists()


def test_all_of_them_become_the_tree_that_the_job_left(ctl, store, tmp_path):
    out = tmp_path / "new" / "out"
    result = ctl("artifacts", "42", "--all", str(out))
    assert result.code == 0 and tree(out) == FILES
    assert result.text.splitlines()[:2] == [f"{out}/a.txt", f"{out}/sub/large"]
    again = ctl("artifacts", "42", "--all", str(out))
    assert again.code == 2 and f"{out}/a.txt is there already" in again.talk
    (out / "a.txt").write_bytes(b"old")
    assert ctl("artifacts", "42", "--all", str(out), "--force", "--json").code == 0
    assert tree(out) == FILES


def test_nothing_is_written_where_one_is_there_already(ctl, store, tmp_path):
    (tmp_path / "new\nline").write_bytes(b"mine")
    assert ctl("artifacts", "42", "--all", str(tmp_path)).code == 2
    assert tree(tmp_path) == {b"new\nline": b"mine"}


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_planted_link_in_place_of_a_folder_is_not_passed(ctl, store, tmp_path, force):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "sub").symlink_to(elsewhere)
    result = ctl("artifacts", "42", "--all", str(out), *force)
    assert result.code == 2 and "symbolic link" in result.talk
    assert list(elsewhere.iterdir()) == [] and (out / "sub").is_symlink()


def test_a_planted_link_in_place_of_a_file_is_not_followed(ctl, store, tmp_path):
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    (out / "a.txt").symlink_to(victim)
    assert ctl("artifacts", "42", "--all", str(out)).code == 2
    assert not victim.exists()
    assert ctl("artifacts", "42", "--all", str(out), "--force").code == 0
    assert not victim.exists() and (out / "a.txt").read_bytes() == b"hello\n" and not (out / "a.txt").is_symlink()


@pytest.mark.parametrize("name", [b"../escaped", b"/etc/escaped", b"a/../../escaped", b"a//b", b"", b".", b"a/\0b"])
def test_a_name_that_leads_out_of_the_folder_is_refused_whoever_sends_it(ctl, broker, tmp_path, name):
    Store(broker, {b"fine": b"x", name: b"hostile"})
    out = tmp_path / "out"
    result = ctl("artifacts", "42", "--all", str(out), "--force")
    assert result.code == 2 and "leads elsewhere" in result.talk
    assert tree(tmp_path) == {}


def test_the_client(client: Client, store: Store, tmp_path: Path) -> None:
    assert [one.raw_name for one in client.artifacts(42)] == list(FILES)
    assert client.artifact(42, "sub/large") == LARGE
    assert client.artifact(42, b"not \xff utf-8", attempt=3) == b"bytes"
    paths = client.save_artifacts(42, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES and os.fsencode(paths[0]).endswith(b"out/a.txt")
    with pytest.raises(InvalidRequest):
        client.save_artifacts(42, tmp_path / "out")
    with pytest.raises(NotFound):
        client.artifact(42, "nothing")
