"""The next program is started as this one was, and looks for modules where this one did."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from supervisor.arbiter.successor import commands

FLAGS = ["--workers", "2", "--set", "log.level=debug"]
BY_SCRIPT = (None, ["/venv/bin/worker-supervisor", *FLAGS])
BY_MODULE = (ModuleSpec("supervisor.__main__", None), ["/code/supervisor/__main__.py", *FLAGS])


@pytest.mark.parametrize(
    ("started", "original", "options"),
    [
        (BY_MODULE, ["python", "-m", "supervisor", *FLAGS], []),
        (BY_MODULE, ["python", "-X", "dev", "-P", "-m", "supervisor", *FLAGS], ["-X", "dev", "-P"]),
        (BY_SCRIPT, ["python", "/venv/bin/worker-supervisor", *FLAGS], ["-P"]),
        (BY_SCRIPT, ["python", "-I", "/venv/bin/worker-supervisor", *FLAGS], ["-I", "-P"]),
        (BY_SCRIPT, ["python", "-P", "/venv/bin/worker-supervisor", *FLAGS], ["-P"]),
    ],
)
def test_flags_and_options_are_kept_and_the_current_folder_is_no_place_for_modules_unless_it_was(
    started: tuple[ModuleSpec | None, list[str]],
    original: list[str],
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, argv = started
    main = ModuleType("__main__")
    main.__spec__ = spec
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", original)
    monkeypatch.setattr(sys, "executable", "/venv/bin/python")
    assert commands(None).serve == ["/venv/bin/python", *options, "-m", "supervisor", *FLAGS]
    assert commands("/new/python").preflight == ["/new/python", *options, "-m", "supervisor", "--preflight", *FLAGS]
