"""Notes on each test whether it failed, so that fixtures can print what helps."""

from __future__ import annotations

import signal
from collections.abc import Generator

import pytest

# A shell without job control starts what it puts into the background deaf to Ctrl-C, and `nohup` to the end of the
# terminal; so would be all that is started from here.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.failed_call = report.failed  # type: ignore[attr-defined]
    return report
