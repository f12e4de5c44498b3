"""Every option of every verb: what it becomes on the wire, where it may stand, what it refuses."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

import pytest
from fake_broker import job_json, said

from ctl import InvalidRequest
from ctl.parser import parse, split, verb_module, verb_parser
from ctl.submission import OPTIONS, environment, moment, submit_fields
from ctl.verbs import VERBS
from supervisor.core.dependency import After
from supervisor.core.names import RUNTIMES

SUBMIT = [
    (["--queue", "slow"], {"queue": "slow"}),
    (["--name", "nightly"], {"name": "nightly", "main": "file.js"}),
    (["--runtime", "python"], {"type": "python"}),
    (["--runtime", "exec"], {"type": "exec"}),
    (["--priority", "-5"], {"priority": -5}),
    (["--priority=1000"], {"priority": 1000}),
    (["--delay", "1h30m"], {"delay_s": 5400.0}),
    (["--at", "2026-01-31T08:00:00+02:00"], {"due_at": "2026-01-31T06:00:00.000000Z"}),
    (["--at", "2026-01-31T08:00:00Z"], {"due_at": "2026-01-31T08:00:00.000000Z"}),
    (["--timeout", "250ms"], {"limits": {"wall_s": 0.25}}),
    (["--timeout", "90"], {"limits": {"wall_s": 90.0}}),
    (["--timeout", "none"], {"limits": {"wall_s": None}}),
    (["--cpu", "2m"], {"limits": {"cpu_s": 120.0}}),
    (["--memory", "512M"], {"limits": {"memory_bytes": 512 << 20}}),
    (["--memory", "none"], {"limits": {"memory_bytes": None}}),
    (["--processes", "64"], {"limits": {"processes": 64}}),
    (["--processes", "none"], {"limits": {"processes": None}}),
    (["--open-files", "128"], {"limits": {"open_files": 128}}),
    (["--file-size", "1G"], {"limits": {"file_size_bytes": 1 << 30}}),
    (["--disk", "10K"], {"limits": {"disk_bytes": 10 << 10}}),
    (["--output", "1.5M"], {"limits": {"output_bytes": 3 << 19}}),
    (["--timeout", "1s", "--memory", "1G"], {"limits": {"wall_s": 1.0, "memory_bytes": 1 << 30}}),
    (["--retries", "3"], {"retries": 3}),
    (["--backoff", "2s"], {"backoff": {"base_s": 2.0, "factor": 2.0, "cap_s": 3600.0}}),
    (["--backoff", "500ms,1.5,10m"], {"backoff": {"base_s": 0.5, "factor": 1.5, "cap_s": 600.0}}),
    (["--on-loss", "fail"], {"on_loss": "fail"}),
    (["--unique", "nightly 1"], {"unique_key": "nightly 1"}),
    (["--unique", "k", "--on-conflict", "refuse"], {"unique_key": "k", "on_conflict": "refuse"}),
    (["--after", "41"], {"after": [{"job": 41, "request_id": None, "condition": "ok"}]}),
    (
        ["--after", "41:any", "--after=42:fail"],
        {
            "after": [
                {"job": 41, "request_id": None, "condition": "any"},
                {"job": 42, "request_id": None, "condition": "fail"},
            ]
        },
    ),
    (["--env", "A=1", "--env", "B=x=y"], {"env": {"A": "1", "B": "x=y"}}),
    (["--merge"], {"merge": True}),
    (["--webhook", "https://hooks.example.com/1"], {"webhook": "https://hooks.example.com/1"}),
    (["--network"], {"network": True}),
    (["--no-network"], {"network": False}),
    (["--isolation", "namespace"], {"isolation": "namespace"}),
    (["--params", '{"a": [1, null, "é"]}'], {"params": {"a": [1, None, "é"]}}),
    (["--type", "node"], {"type": "node"}),
    (["--", "-v", "--queue", "x", "--", "y"], {"args": ["-v", "--queue", "x", "--", "y"]}),
    (["--"], {}),
]


@pytest.mark.parametrize(("words", "fields"), SUBMIT, ids=[" ".join(words) for words, _ in SUBMIT])
def test_an_option_of_submit_on_the_wire(ctl, broker, script, words, fields):
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    result = ctl("submit", str(script), *words)
    assert (result.code, result.out, result.err) == (0, b"42\n", b"")
    assert said(broker.asked("submit")[0]) == {"name": "file.js", "source": script.read_text(), **fields}


def test_every_option_of_submit_is_tried_here_or_in_a_test_of_its_own():
    elsewhere = {"--main", "--file", "--env-file", "--stdin", "--wait", "--follow", "--batch", "--help"}
    tried = {word.split("=")[0] for words, _ in SUBMIT for word in words if word.startswith("--") and word != "--"}
    offered = {flag for action in verb_parser("submit")._actions for flag in action.option_strings}
    everywhere = {"-h", "-q", "--quiet", "--json", "--socket", "--no-color"}
    assert offered - everywhere - elsewhere == tried
    assert {flag for action in verb_parser("run")._actions for flag in action.option_strings} == offered - {
        "--wait",
        "--follow",
        "--batch",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--timeout", "soon"], "--timeout: 'soon' is not a duration"),
        (["--cpu", "-1"], "--cpu"),
        (["--memory", "lots"], "--memory: 'lots' is not a size"),
        (["--processes", "many"], "--processes: 'many' is not a whole number"),
        (["--priority", "high"], "--priority: 'high' is not a whole number"),
        (["--retries", "1.5"], "--retries"),
        (["--delay", "x"], "--delay"),
        (["--at", "tomorrow"], "--at: 'tomorrow' is not a date"),
        (["--delay", "1", "--at", "2026-01-31"], "not allowed with"),
        (["--network", "--no-network"], "not allowed with"),
        (["--backoff", "1,2,3,4"], "--backoff"),
        (["--backoff", "1,x"], "--backoff: the factor"),
        (["--on-loss", "ignore"], "is not one of requeue, fail"),
        (["--runtime", "cobol"], f"is not one of {', '.join(RUNTIMES)}"),
        (["--env", "A"], "'A' is not NAME=VALUE"),
        (["--env-file", "/none"], "--env-file: cannot read /none"),
        (["--main", "x.js"], "is not a folder"),
        (["--file", "/etc/passwd"], "outside of the script's folder"),
        (["--stdin", "/none"], "cannot read /none: no such file"),
        (["--after", "soon"], "--after: 'soon' is not JOB[:CONDITION]"),
        (["--after", "41:ended"], "the conditions are ok (it must complete, the default), any"),
        (["--on-conflict", "ignore"], "is not one of return, refuse"),
        (["--params", "{'a': 1}"], "--params: not JSON: "),
        (["--params", "NaN"], "--params: not JSON: NaN is no number of JSON"),
        (["--params", "@/none"], "--params: cannot read /none"),
        (["--type", "words", "--runtime", "node"], "--type and --runtime exclude each other"),
        (["--time", "3"], "--time"),
        (["surplus"], "comes after --"),
    ],
)
def test_a_wrong_option_of_submit(ctl, broker, script, words, message):
    result = ctl("submit", str(script), *words)
    assert (result.code, result.out) == (2, b"")
    assert message in result.talk
    assert 1 <= len(result.talk.splitlines()) <= 3
    assert all(line.startswith("workerctl: ") for line in result.talk.splitlines())
    assert broker.requests == []
    assert ctl("run", str(script), *words).code == 125


@pytest.mark.parametrize("given", ['{"a": 1}', "@params.json"])
def test_a_job_for_a_handler_has_a_type_and_params_and_no_file(ctl, broker, tmp_path, given):
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    (tmp_path / "params.json").write_text('{"a": 1}')
    given = given.replace("params.json", str(tmp_path / "params.json"))
    result = ctl("submit", "--type", "words", "--params", given, "--name", "w")
    assert (result.code, result.out) == (0, b"42\n"), result.talk
    assert said(broker.asked("submit")[0]) == {"type": "words", "params": {"a": 1}, "name": "w"}


def test_something_must_be_named_to_run(ctl, broker):
    for verb, code in (("submit", 2), ("run", 125)):
        result = ctl(verb)
        assert result.code == code and "name the script to run" in result.talk
    assert broker.requests == []


def test_at_in_words_or_without_a_zone_says_which_moment_it_means(ctl, broker, script):
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    for words in ("tomorrow 09:00", "in 2h", "2099-01-31T08:00"):
        result = ctl("submit", str(script), "--at", words)
        assert (result.code, result.out) == (0, b"42\n")
        assert re.fullmatch(r"workerctl: --at means 20\d\d-[\d-]+ [\d:.]+ local time \(in \d+ \w+\)\n", result.talk)
    assert ctl("submit", "-q", str(script), "--at", "in 2h").talk == ""


def test_an_existing_job_with_the_unique_key_is_said_to_be_one(ctl, broker, script):
    broker.answers("submit", {"job": 7, "created": False, "existing": True, "warnings": []})
    result = ctl("submit", str(script), "--unique", "k")
    assert (result.code, result.out) == (0, b"7\n")
    assert result.talk == "workerctl: job 7 has the unique key 'k' already: nothing new was queued\n"


def test_after_last_is_the_newest_job(ctl, broker, script):
    broker.answers("list", {"jobs": [job_json(41)], "next": None})
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    assert ctl("submit", str(script), "--after", "@last:any", "--after", "@last:any").code == 0
    assert broker.asked("submit")[0].after == (After(job=41, condition="any"),) * 2
    assert [(request.mine, request.limit) for request in broker.asked("list")] == [(True, 1)] * 2


def test_submit_without_a_script_says_what_is_missing(ctl, broker):
    result = ctl("submit", "--queue", "slow")
    assert (result.code, broker.requests) == (2, [])
    assert "name the script to run" in result.talk


def test_arguments_that_are_no_utf8_are_refused(ctl, broker, script):
    result = ctl("submit", str(script), "--", b"\xff".decode("utf-8", "surrogateescape"))
    assert (result.code, broker.requests) == (2, [])
    assert "UTF-8" in result.talk


def test_env_files(tmp_path):
    path = tmp_path / ".env"
    path.write_text("# comment\n\nA=1\nexport B='two words'\nC=\"x\"\nD=a=b # kept\nE=\n")
    assert environment(["A=9"], [str(path)]) == {"A": "9", "B": "two words", "C": "x", "D": "a=b # kept", "E": ""}
    path.write_text("A=1\nnonsense\n")
    with pytest.raises(InvalidRequest, match="line 2"):
        environment([], [str(path)])


def test_env_file_and_stdin_reach_the_wire(ctl, broker, script, tmp_path):
    (tmp_path / "e").write_text("A=1")
    (tmp_path / "in").write_text("input")
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    assert ctl("submit", str(script), "--env-file", str(tmp_path / "e"), "--stdin", str(tmp_path / "in")).code == 0
    request = said(broker.asked("submit")[0])
    assert (request["env"], request["stdin"]) == ({"A": "1"}, "input")


def test_a_folder_with_main(ctl, broker, tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "go.py").write_text("")
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    assert ctl("submit", "--main", "go.py", str(tmp_path / "project")).code == 0
    assert broker.asked("submit")[0].main == "go.py"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "completion"])
def test_global_options_before_and_after_the_verb(verb):
    needed = [one for one in verb_parser(verb)._actions if not one.option_strings and one.nargs not in ("*", "?")]
    word = ["1" if one.type is int else "x" for one in needed]
    options = ["--socket", "/s", "--json", "-q", "--no-color"]
    for before, after in ((options, word), ([], word + options), (options[:2], word + options[2:])):
        split_before, found, rest = split([*before, verb, *after])
        assert found == verb
        parsed = parse(verb, split_before, rest)
        assert (parsed.socket, parsed.json, parsed.quiet, parsed.no_color) == ("/s", True, True, True)


TAKE_NO_WORDS = [verb for verb in VERBS if all(action.option_strings for action in verb_parser(verb)._actions)]


@pytest.mark.parametrize("verb", TAKE_NO_WORDS)
def test_a_verb_that_takes_no_words_refuses_them(ctl, broker, verb):
    result = ctl(verb, "surplus")
    assert (result.code, result.out, broker.requests) == (2, b"", [])
    assert result.talk == f"workerctl: unexpected: surplus\nworkerctl: see `workerctl {verb} --help`\n"


def test_a_verb_stands_where_it_stands():
    assert split(["--socket", "run", "list"]) == (["--socket", "run"], "list", [])
    assert split(["--socket=x", "list", "--json"]) == (["--socket=x"], "list", ["--json"])
    assert split(["--json"]) == (["--json"], None, [])
    with pytest.raises(InvalidRequest, match="does not belong before the verb"):
        parse("list", ["--limit"], ["3"])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(ctl, verb):
    result = ctl(verb, "--help")
    assert result.code == 0 and result.err == b""
    assert f"usage: workerctl {verb}" in result.text
    assert "examples:\n  " in result.text and "--socket" in result.text
    for action in verb_parser(verb)._actions:
        assert action.help, f"{action.option_strings or action.dest} has no help"


@pytest.mark.parametrize("verb", list(VERBS))
def test_the_examples_of_a_verb_can_be_parsed(verb):
    for example in verb_module(verb).EXAMPLES:
        command = example.partition("workerctl")[2].split(")")[0]
        for stop in (" |", " >", " 2>", " <", "$(", " &&"):
            command = command.partition(stop)[0]
        before, found, after = split(shlex.split(command))
        if found is not None and not (found == "wait" and "$(" in example):
            parse(found, before, after)


def test_the_whole_help_names_every_verb(ctl):
    result = ctl("--help")
    assert result.code == 0 and all(f"  {verb} " in result.text for verb in VERBS)
    assert ctl("--version").out == b"workerctl 0.1.0\n"


def test_a_word_that_is_no_verb(ctl, script):
    assert "did you mean" in ctl("statsu").talk and "`workerctl status`" in ctl("statsu").talk
    assert "did you mean `workerctl run" in ctl(str(script)).talk
    assert ctl("statsu").code == 2


def test_python_options():
    assert set(SUBMIT_NAMES) <= OPTIONS
    with pytest.raises(InvalidRequest, match=r"there is no option time_out; there are .*name.*source.*timeout"):
        submit_fields({"time_out": 3})
    with pytest.raises(InvalidRequest, match="exclude each other"):
        submit_fields({"delay": 1, "at": "2026-01-31"})
    assert submit_fields({"timeout": 1.5, "memory": 1 << 20, "backoff": {"base_s": 1.0}}) == {
        "limits": {"wall_s": 1.5, "memory_bytes": 1 << 20},
        "backoff": {"base_s": 1.0},
    }
    assert moment(datetime(2026, 1, 31, 8, tzinfo=UTC)) == "2026-01-31T08:00:00.000000Z"


SUBMIT_NAMES = ("queue", "timeout", "memory", "env", "args", "network")


def test_list_options(ctl, broker):
    broker.answers("list", {"jobs": [job_json()], "next": None})
    assert ctl("list", "--state", "failed,queued", "--state", "running", "--queue", "slow", "--limit", "7").code == 0
    request = broker.asked("list")[0]
    assert (request.states, request.queue, request.limit) == (("failed", "queued", "running"), "slow", 7)
    for words in (["--state", "done"], ["--limit", "0"], ["--limit", "x"], ["-o", "nothing"], ["--sort", "nothing"]):
        assert ctl("list", *words).code == 2
