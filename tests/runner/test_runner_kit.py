"""The test kit runs a handler as a runner does: the same code decides what a result, a refusal and a failure are."""

from __future__ import annotations

import math
from typing import Any

import pytest

import supervisor
from supervisor import Context, Job, JobWorker
from supervisor.runner.loading import BadHandler, load, types_of
from supervisor.testing import Progress, Ran, run_handler


class Resize(JobWorker):
    types = {"resize"}

    def setup(self) -> None:
        self.ready = True
        self.torn_down = False

    def teardown(self) -> None:
        self.torn_down = True

    def can_process(self, job: Job) -> bool:
        return bool(job.params)

    def execute(self, job: Job, context: Context) -> Any:
        assert self.ready
        print("at", job.params["width"])
        for step in range(1, 5):
            if context.cancelled:
                context.log.info("stopped at %d", step)
                return None
            context.progress(25 * step, "scaling", f"step {step}")
        return {"height": job.params["width"] * 3 // 4, "attempt": job.attempt}


class Rude(JobWorker):
    types = {"a", "b"}

    def execute(self, job: Job, context: Context) -> Any:
        return job.params["value"]() if callable(job.params) else eval(job.params)


def test_what_came_of_a_job() -> None:
    ran = run_handler(Resize, params={"width": 80}, attempt=2)
    assert ran.ok and ran.result == {"height": 60, "attempt": 2}
    assert ran.progress[-1] == Progress(100.0, "scaling", "step 4")
    assert (ran.stdout, ran.stderr, ran.logs, ran.error) == ("at 80\n", "", [], None)


def test_a_cancel_is_simulated_at_the_start_and_underway() -> None:
    assert run_handler(Resize, params={"width": 80}, cancelled=True).logs == ["INFO stopped at 1"]
    halfway = run_handler(Resize, params={"width": 80}, cancelled=lambda ran: len(ran.progress) >= 2)
    assert halfway.logs == ["INFO stopped at 3"] and halfway.result is None


def test_declining_and_raising_are_told_apart() -> None:
    declined = run_handler(Resize, params=None)
    assert declined.declined and not declined.ok and declined.error is None
    raised = run_handler(Resize, params={"height": 1})
    assert isinstance(raised.error, KeyError) and raised.message == "KeyError: 'width'"
    assert 'print("at", job.params["width"])' in raised.stderr and "performing.py" not in raised.stderr


def test_an_instance_is_as_its_maker_left_it() -> None:
    worker = Resize()
    worker.setup()
    assert run_handler(worker, params={"width": 4}).ok
    assert not worker.torn_down


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("{1}", "TypeError: Object of type set is not JSON serializable"),
        ("float('nan')", "ValueError: Out of range float values are not JSON compliant"),
        ("'\\ud800'", "UnicodeEncodeError"),
        ("(x := [], x.append(x), x)[2]", "ValueError: Circular reference detected"),
        ("'x' * 300_000", "its result has 292 KiB as JSON, at most 256 KiB are kept"),
    ],
)
def test_a_result_that_is_not_json_or_too_large_fails_with_a_sentence(code: str, words: str) -> None:
    ran = run_handler(Rude, type="a", params=code)
    assert not ran.ok and words in ran.message and ran.result is None and ran.stderr


def test_results_are_what_json_makes_of_them() -> None:
    assert run_handler(Rude, type="a", params="(1, {'é': None}, True)").result == [1, {"é": None}, True]


@pytest.mark.parametrize("code", ["(_ for _ in ()).throw(SystemExit(0))", "(_ for _ in ()).throw(KeyboardInterrupt)"])
def test_what_would_end_a_process_ends_the_job(code: str) -> None:
    assert run_handler(Rude, type="a", params=code).error is not None


def test_the_kit_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="say the type of the job: Rude takes a, b"):
        run_handler(Rude)
    with pytest.raises(TypeError):
        run_handler(Resize, params={1, 2})


@pytest.mark.parametrize("percentage", ["50", math.nan, True])
def test_a_percentage_is_a_number(percentage: Any) -> None:
    class Wrong(JobWorker):
        types = {"wrong"}

        def execute(self, job: Job, context: Context) -> None:
            context.progress(percentage)

    ran = run_handler(Wrong)
    assert isinstance(ran.error, TypeError) and "it must be a number from 0 to 100" in ran.message


def test_progress_is_cut_to_what_is_kept() -> None:
    class Verbose(JobWorker):
        types = {"verbose"}

        def execute(self, job: Job, context: Context) -> None:
            context.progress(250, "s" * 5000, "\ud800")
            context.progress(None)

    assert run_handler(Verbose).progress == [Progress(100.0, "s" * 1000, "?"), Progress()]


def test_setup_and_teardown_that_raise_fail_the_job_of_a_fresh_process() -> None:
    class Broken(Resize):
        def teardown(self) -> None:
            raise OSError("gone")

    assert run_handler(Broken, params={"width": 1}).message == "teardown: OSError: gone"

    class NoSetup(Resize):
        def setup(self) -> None:
            raise OSError("never there")

    assert run_handler(NoSetup, params={"width": 1}).message == "setup: OSError: never there"


def test_a_handler_without_execute_says_so() -> None:
    class Empty(JobWorker):
        types = {"empty"}

    assert run_handler(Empty).message == "NotImplementedError: Empty has no execute()"


# Loading


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        ("tests.runner.test_runner_kit:Nowhere", "has no 'Nowhere'"),
        ("tests.runner.test_runner_kit:test_a_handler_without_execute_says_so", "is no class derived from"),
        ("json:JSONDecoder", "is no class derived from supervisor.JobWorker"),
    ],
)
def test_what_is_no_handler_is_told(handler: str, words: str) -> None:
    with pytest.raises(BadHandler, match=words):
        load(handler)


def test_a_handler_is_found_by_its_name() -> None:
    assert load("supervisor.runner.handler:JobWorker") is JobWorker


@pytest.mark.parametrize("types", ["resize", {"node"}, {"a b"}, {1}, None])
def test_types_are_names_that_scripts_do_not_have(types: Any) -> None:
    with pytest.raises(BadHandler, match="types"):
        types_of(type("Some", (JobWorker,), {"types": types}))


def test_the_package_gives_handlers_their_names_and_nothing_else() -> None:
    assert supervisor.JobWorker is JobWorker and set(supervisor.__all__) >= {"Context", "Job", "JobWorker"}
    with pytest.raises(AttributeError):
        _ = supervisor.Nothing
    assert Ran().ok
