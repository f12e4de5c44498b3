"""Handlers that do what a test asks for, well-behaved and otherwise. Imported by runners, never by pytest."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from typing import Any

from supervisor import Context, Job, JobWorker


class Trial(JobWorker):
    """`params["do"]` names one of the methods below; it gets params and context."""

    types = {"trial"}
    setups = 0

    def setup(self) -> None:
        Trial.setups += 1
        self.jobs = 0
        self.hoard: list[bytearray] = []

    def teardown(self) -> None:
        if (place := os.environ.get("TRIAL_TEARDOWNS")) is not None:
            with open(place, "a") as file:
                file.write(f"{os.getpid()}\n")

    def execute(self, job: Job, context: Context) -> Any:
        self.jobs += 1
        return getattr(self, job.params["do"])(job, context)

    def who(self, job: Job, context: Context) -> Any:
        return {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "jobs": self.jobs,
            "setups": Trial.setups,
            "job": [job.id, job.type, job.attempt, job.queue],
            "cwd": os.getcwd(),
            "uid": os.getuid(),
        }

    def speak(self, job: Job, context: Context) -> Any:
        print("from python")
        ctypes.CDLL(None).puts(b"from C")
        subprocess.run(["sh", "-c", "echo from a child; echo child error >&2"], check=True)
        context.log.warning("from the %s", "log")
        context.progress(50, "half", "so far")
        return job.params

    def fail(self, job: Job, context: Context) -> Any:
        raise ValueError("the pond is empty\nreally")

    def fail_first(self, job: Job, context: Context) -> Any:
        if job.attempt <= job.params["times"]:
            raise ValueError(f"attempt {job.attempt}")
        return job.attempt

    def leave(self, job: Job, context: Context) -> Any:
        sys.exit(3)

    def os_exit(self, job: Job, context: Context) -> Any:
        os._exit(job.params["code"])

    def crash(self, job: Job, context: Context) -> Any:
        ctypes.string_at(0)

    def die(self, job: Job, context: Context) -> Any:
        os.kill(os.getpid(), job.params["signal"])
        time.sleep(60)

    def strange(self, job: Job, context: Context) -> Any:
        return {1, 2}

    def large(self, job: Job, context: Context) -> Any:
        return "x" * job.params["size"]

    def sleep(self, job: Job, context: Context) -> Any:
        print("asleep", flush=True)
        time.sleep(job.params["s"])
        return "slept"

    def heed(self, job: Job, context: Context) -> Any:
        print("asleep", flush=True)
        while not context.cancelled:
            time.sleep(0.01)
        print("heard it", flush=True)
        return "gave up"

    def burn(self, job: Job, context: Context) -> Any:
        end = time.process_time() + job.params["s"]
        while time.process_time() < end:
            pass
        return "burnt"

    def eat(self, job: Job, context: Context) -> Any:
        food = []
        while True:
            food.append(bytearray(b"x") * (8 << 20))
            time.sleep(0.01)

    def leak(self, job: Job, context: Context) -> Any:
        self.hoard.append(bytearray(b"x") * job.params["size"])
        return {"pid": os.getpid(), "jobs": self.jobs}

    def flood(self, job: Job, context: Context) -> Any:
        while True:
            print("x" * 1000)

    def shout(self, job: Job, context: Context) -> Any:
        print("x" * job.params["size"])

    def abandon(self, job: Job, context: Context) -> Any:
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        return {"child": child.pid}

    def haunt(self, job: Job, context: Context) -> Any:
        subprocess.Popen(["sh", "-c", f"while [ ! -e {job.params['until']} ]; do sleep 0.05; done; echo ghost"])

    def wait_for(self, job: Job, context: Context) -> Any:
        while not os.path.exists(job.params["path"]):
            time.sleep(0.01)
        time.sleep(0.3)

    def thread(self, job: Job, context: Context) -> Any:
        threading.Thread(target=lambda: time.sleep(1000), daemon=True).start()


class Fresh(Trial):
    types = {"fresh"}


class Picky(JobWorker):
    """Takes what is `wanted` by its own name."""

    types = {"pick"}

    def can_process(self, job: Job) -> bool:
        return job.params["for"] == type(self).__name__

    def execute(self, job: Job, context: Context) -> Any:
        return type(self).__name__


class Other(Picky):
    pass


class NoSetup(JobWorker):
    types = {"never"}

    def setup(self) -> None:
        print("about to fail", file=sys.stderr)
        raise RuntimeError("no database here")

    def execute(self, job: Job, context: Context) -> Any:
        return None


class NoTypes(JobWorker):
    def execute(self, job: Job, context: Context) -> Any:
        return None
