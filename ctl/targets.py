"""Which jobs a command means: ids, `@last`, or all in some states and a queue."""

from __future__ import annotations

from ctl.errors import WorkerctlError, invalid
from ctl.numbers import is_number, job_number_of
from supervisor.core.names import STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ctl.client import Client
    from ctl.console import Console

LAST = "@last"


def add_job(parser: argparse.ArgumentParser, *, many: str | None = None) -> None:
    """The argument JOB; `many` is argparse's nargs, for several."""
    what = "id of a job, or @last for your newest"
    if many is None:
        parser.add_argument("job", metavar="JOB", help=what)
    else:
        parser.add_argument("jobs", metavar="JOB", nargs=many, help=what)


def add_filter(parser: argparse.ArgumentParser) -> None:
    """The options that choose jobs by what they are."""
    parser.add_argument("--state", action="append", metavar="STATE", help=f"in this state: {', '.join(STATES)}")
    parser.add_argument("--queue", metavar="NAME", help="in this queue")


def job_id(client: Client, word: str) -> int:
    """The id that `word` stands for; raises InvalidRequest, NotFound."""
    if word == LAST:
        return client.newest()
    if not is_number(word) or not word.strip("0"):
        raise invalid(f"{word!r} is no job: give an id such as 42, or @last for your newest job")
    return job_number_of(word)


def job_ids(client: Client, words: Iterable[str]) -> list[int]:
    """The ids that `words` stand for, each once."""
    return list(dict.fromkeys(job_id(client, word) for word in words))


def states_of(words: Sequence[str] | None) -> list[str]:
    """The states of `--state a --state b,c`; raises InvalidRequest listing what there is.

    Nothing is no state: `cancel --state "$unset"` must not mean all of them.
    """
    states = [state.strip() for word in words or () for state in word.split(",")]
    for state in states:
        if state not in STATES:
            raise invalid(f"there is no state {state!r}; there are {', '.join(STATES)}")
    return states


def act_on_each(
    client: Client,
    console: Console,
    options: argparse.Namespace,
    usual_states: Sequence[str],
    act: Callable[[int], str],
    done: list[int],
    words: Mapping[str, str] | None = None,
) -> int:
    """Acts on the jobs that `options` name, or choose by `--state` and `--queue`; prints what became of each.

    Goes on after a failure. Returns the exit code of the first one; of chosen jobs, one that has changed its state
    in the meantime is none. Appends the ids that were acted on to `done`. `words` say a state after the act in a
    clearer way, for people.
    """
    by_filter = bool(options.state or options.queue)
    if by_filter == bool(options.jobs):
        raise invalid("name jobs by their ids, or choose them with --state and --queue")
    if by_filter:
        states = states_of(options.state) or list(usual_states)
        ids = [job.id for job in client.list(states, options.queue, limit=None)]
    else:
        ids = job_ids(client, options.jobs)
    code = 0
    results: list[dict[str, object]] = []
    for job in ids:
        try:
            state = client.show(job).state if options.dry_run else act(job)
        except WorkerctlError as error:
            if by_filter and error.code in ("wrong_state", "not_found"):
                continue
            console.complain(error.message)
            code = code or error.exit_status
            if error.exit_status == 5:
                break
            continue
        done.append(job)
        _print_result(console, results, job, state, {} if options.dry_run else words or {})
    if console.json:
        console.print_json(results)
    elif by_filter and not done and not code:
        console.say("no job is like that" if not ids else f"none of the {len(ids)} is in a state that allows it")
    return code


def _print_result(
    console: Console, results: list[dict[str, object]], job: int, state: str, words: Mapping[str, str]
) -> None:
    if console.json:
        results.append({"job": job, "state": state})
    elif console.quiet:
        console.print(str(job))
    else:
        console.print(f"{job}  {console.paint(words.get(state, state))}")
