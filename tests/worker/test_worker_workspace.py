"""A job's folder is filled from what a client sent: what cannot be unpacked is this job's end, and nobody else's."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from supervisor.core.job import Content, JobSpec
from supervisor.paths import Paths
from supervisor.spool import Spool
from supervisor.wire.lease import Lease
from supervisor.worker.workspace import WORK, BadArchive, Workspace

MEMBERS = 20_000
LESS_THAN_BYTES = 3 << 20
"""If all of them are remembered, so many cost 7 MiB."""


def archive(*members: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return made.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **headers: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.pax_headers = kind, link, headers
    return made


def fill(folder: Path, content: bytes) -> None:
    """As a worker does with a lease whose only content is this archive."""
    paths = Paths(str(folder / "state"), str(folder / "s"))
    os.makedirs(paths.spool)
    sha256 = hashlib.sha256(content).hexdigest()
    Path(paths.spool, sha256).write_bytes(content)
    spec = JobSpec(main="main.sh", contents=(Content(path=".", sha256=sha256, size=len(content), kind="tar"),))
    lease = Lease(lease=1, job=1, attempt=1, name="main.sh", type="shell", queue="default", spec=spec)
    (folder / "job").mkdir()
    root = os.open(folder / "job", os.O_RDONLY | os.O_DIRECTORY)
    try:
        workspace = Workspace(root, None, Spool(paths))
        workspace.make_folders()
        workspace.fill(lease)
    finally:
        os.close(root)


def test_a_folder_is_unpacked_with_its_links(tmp_path: Path) -> None:
    content = archive(member("sub", tarfile.DIRTYPE), member("sub/main.sh"), member("link", tarfile.SYMTYPE, "sub"))
    fill(tmp_path, content)
    work = tmp_path / "job" / WORK
    assert (work / "sub" / "main.sh").is_file() and os.readlink(work / "link") == "sub"


@pytest.mark.parametrize(
    "strange",
    [
        member("x", path="a\0b"),
        member("x", tarfile.SYMTYPE, linkpath="a\0b"),
        member("x", tarfile.DIRTYPE, path="a\0b"),
        member("x", tarfile.REGTYPE, "", **{"GNU.sparse.map": "x,y", "GNU.sparse.size": "3"}),
        member("../x"),
        member("/x"),
        member("x", tarfile.FIFOTYPE),
        member("x", tarfile.LNKTYPE, "main.sh"),
    ],
    ids=["name with NUL", "link with NUL", "folder with NUL", "map of no numbers", "up", "root", "pipe", "hard link"],
)
def test_what_cannot_be_unpacked_is_said_and_never_a_defect(tmp_path: Path, strange: tarfile.TarInfo) -> None:
    with pytest.raises(BadArchive):
        fill(tmp_path, archive(member("main.sh"), strange))


def test_an_archive_of_very_many_members_costs_no_memory(tmp_path: Path) -> None:
    """In a process of its own: what one has ever had is its mark."""
    content = tmp_path / "many.tar"
    content.write_bytes(archive(*(member("d", tarfile.DIRTYPE) for _ in range(MEMBERS))))
    program = (
        "import pathlib, re, sys; from tests.worker.test_worker_workspace import fill;"
        "most = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]);"
        "content = pathlib.Path(sys.argv[1]).read_bytes(); before = most();"
        "fill(pathlib.Path(sys.argv[2]), content); print(most() - before)"
    )
    (tmp_path / "there").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program, str(content), str(tmp_path / "there")],
        capture_output=True,
        check=True,
        text=True,
    )
    assert int(done.stdout) << 10 < LESS_THAN_BYTES
