"""The command's entry: verb, options, client, exit code. Loads only the verb that is asked for.

Every error becomes one to three lines on stderr and the exit code of its kind; a traceback is a defect.
"""

from __future__ import annotations

import sys

from ctl import exits
from ctl.client import Client
from ctl.console import Console, fill_standard_fds
from ctl.errors import WorkerctlError, sentence_of
from ctl.parser import main_parser, parse, split, verb_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `workerctl` with `argv`; returns the exit code."""
    fill_standard_fds()
    words = list(sys.argv[1:] if argv is None else argv)
    verb: str | None = None
    try:
        before, verb, after = split(words)
        if verb is None:
            options = main_parser().parse_args(before)
            if options.version:
                return _version()
            verb, before, after = "status", words, []
        return _run(verb, parse(verb, before, after))
    except WorkerctlError as error:
        _complain(error.message)
        return exits.NO_STATUS if verb == "run" else error.exit_status
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        return exits.BROKEN_PIPE
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else exits.OK
    except OSError as error:
        _complain(sentence_of(error))
        return exits.NO_STATUS if verb == "run" else exits.DEFECT
    except Exception:
        import traceback

        traceback.print_exc()
        _complain("this is a defect of workerctl; please report it with the lines above")
        return exits.NO_STATUS if verb == "run" else exits.DEFECT


def _run(verb: str, options: argparse.Namespace) -> int:
    module = verb_module(verb)
    console = Console(json=options.json, quiet=options.quiet, color=not options.no_color)
    with Client(options.socket) as client:
        code: int = module.run(client, console, options)
    return code


def _version() -> int:
    from supervisor import __version__

    Console().print(f"workerctl {__version__}")
    return exits.OK


def _complain(text: str) -> None:
    try:
        Console().complain(text)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
