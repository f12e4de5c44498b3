"""`python -m supervisor.sandbox run file.js [args…]`: one script under a keeper, with no daemon.

Invariant: prints the job's bytes unchanged, then one line on stderr that says why it ended; exits with the job's
code, 128+N after signal N, or 125 if there is no wait status.
Never: is used by the daemon.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile

from supervisor.sandbox.fault import SandboxError
from supervisor.sandbox.levels import LEVELS
from supervisor.sandbox.single_run import JOB_PATH, SingleRun

_INTERPRETERS = {".js": "node", ".mjs": "node", ".cjs": "node", ".py": "python3", ".sh": "sh"}
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_NOBODY = 65534
_NO_STATUS = 125


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    interpreter = _interpreter(options.file)
    if interpreter is None:
        print(f"sandbox: no interpreter for {options.file} (known: {', '.join(_INTERPRETERS)})", file=sys.stderr)
        return _NO_STATUS
    with tempfile.TemporaryDirectory(prefix="sandbox-run-") as root:
        os.chmod(root, 0o711)  # noqa: S103 - the slot uid must pass
        run = SingleRun(
            level=options.level, work_root=root, slot_uid=options.uid if os.geteuid() == 0 else None,
            network=options.network, memory_bytes=options.memory, timeout_s=options.timeout,
        )  # fmt: skip
        try:
            code, sentence = run.script(interpreter, options.file, options.args)
        except (SandboxError, OSError) as error:
            code, sentence = _NO_STATUS, str(error)
    print(f"sandbox: {sentence}", file=sys.stderr)
    return code


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m supervisor.sandbox", description="Run one script in a sandbox.")
    run = parser.add_subparsers(required=True).add_parser("run", help="run a script and exit with its code")
    run.add_argument("--level", choices=sorted(LEVELS), default="namespace")
    run.add_argument("--memory", type=_size, metavar="SIZE", help="bytes, or with K, M, G; for the whole tree")
    run.add_argument("--timeout", type=float, metavar="SECONDS", help="wall time")
    run.add_argument("--network", action="store_true", help="let it use the host's network")
    run.add_argument("--uid", type=int, default=_NOBODY, help="under root: the uid to run as (default %(default)s)")
    run.add_argument("file")
    run.add_argument("args", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def _size(text: str) -> int:
    unit = text[-1:].upper()
    return int(text[:-1]) * _UNITS[unit] if unit in _UNITS else int(text)


def _interpreter(file: str) -> str | None:
    name = _INTERPRETERS.get(os.path.splitext(file)[1])
    return (shutil.which(name, path=JOB_PATH) or shutil.which(name)) if name else None


if __name__ == "__main__":
    sys.exit(main())
