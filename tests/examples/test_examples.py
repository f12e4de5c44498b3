"""Every example does what its README shows: the commands are typed, in their order, and what they print is compared."""

from __future__ import annotations

import json
import shutil
import tomllib

import pytest

from tests.docs.transcripts import Run, Start, steps
from tests.examples.readmes import EXAMPLES, agrees, names, play, readme
from tests.harness import running_daemon, wait_until

NEEDS = {"scrape": ["node"], "untrusted": ["node"], "webform": ["curl"], "backup": ["tar", "sha256sum"]}


@pytest.fixture(scope="session")
def level_here(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The strongest isolation that this machine has."""
    with running_daemon(tmp_path_factory.mktemp("level") / "d") as daemon:
        # The first worker to be ready has tried.
        return str(wait_until(lambda: daemon.ask("status")["isolation"]["level"], 30, "a worker that is ready"))


@pytest.mark.parametrize("name", names())
def test_an_example_does_what_its_readme_shows(name: str, request: pytest.FixtureRequest) -> None:
    missing = [program for program in NEEDS.get(name, []) if shutil.which(program) is None]
    if missing:
        pytest.skip(f"the README needs {', '.join(missing)}, which this machine has not")
    if name == "webform":
        pytest.importorskip("uvicorn", reason="the web form needs the extra `http`")
    pools = tomllib.loads((EXAMPLES / name / "config.toml").read_text())["pools"].values()
    wanted = {pool["isolation_minimum"] for pool in pools if "isolation_minimum" in pool}
    if wanted and (here := request.getfixturevalue("level_here")) not in wanted:
        pytest.skip(f"it demands {wanted}, and this machine has {here}: its jobs would be refused, as it says")
    play(name)


@pytest.mark.parametrize("name", names())
def test_a_readme_goes_from_the_start_of_its_daemon_to_the_end(name: str) -> None:
    found = steps(readme(name).read_text())
    assert [step.command for step in found if isinstance(step, Start)] == [
        "../../.venv/bin/worker-supervisor --config config.toml"
    ]
    assert isinstance(found[0], Run) and found[0].command == f"cd examples/{name}"
    assert found[-1] == Run("workerctl stop", ["stopping"])


def test_the_index_has_every_example_and_nothing_else() -> None:
    there_is = {path.name for path in EXAMPLES.iterdir() if not path.name.startswith((".", "__"))} - {"README.md"}
    text = (EXAMPLES / "README.md").read_text()
    assert {name for name in there_is if f"({name}/README.md)" in text or f"]({name})" in text} == there_is
    assert set(names()) == {name for name in there_is if "." not in name}


def test_what_is_measured_may_differ_and_nothing_else() -> None:
    shown = ["id: 7", 'data: {"percentage": 1.0, "message": "row 1 of 100"}', "…", "job 1 failed"]
    came = ["id: 12", 'data: {"percentage": 3.0, "message": "row 3 of 100"}', "", "job 1 failed"]
    assert agrees(shown, came)
    assert not agrees(shown, [*came[:3], "job 1 completed"])
    assert not agrees(shown, [came[0], came[1].replace("of 100", "of 160"), *came[2:]])


def test_the_lines_of_the_pipeline_name_only_earlier_ones_and_scripts_that_there_are() -> None:
    keys: set[str] = set()
    for line in (EXAMPLES / "pipeline" / "pipeline.jsonl").read_text().splitlines():
        job = json.loads(line)
        assert {after.partition(":")[0] for after in job.get("after", [])} <= keys
        assert (EXAMPLES / "pipeline" / job["file"] / job["main"]).is_file()
        keys.add(job["key"])
