"""What a job uses while it runs: told by its keeper now and then, and never more than somebody reads."""

from __future__ import annotations

from sandbox_bench import PYTHON, Bench, Job, wait_until

from supervisor.sandbox import Started, message

HOLDER_OF_MEMORY = """
import time
held = bytearray(60 << 20)
began = time.monotonic()
while time.process_time() < 0.5: pass
print('holds', flush=True)
while True:
    time.sleep(0.2)
    print('tick', flush=True)
"""


def test_a_job_that_lasts_tells_its_cpu_time_and_memory(bench: Bench) -> None:
    with Job(bench, [PYTHON, "-I", "-S", "job.py"], files={"job.py": HOLDER_OF_MEMORY}) as job:
        job.until(Started)

        def is_known() -> bool:
            job.slot.receive()
            return job.slot.use is not None and job.slot.use.cpu_s >= 0.45 and job.slot.use.memory_bytes >= 60 << 20

        wait_until(is_known, "what it uses")
        job.slot.rest()
        assert job.slot.use is None
        job.slot.end(kill=True)
        assert job.finish().ended.cpu_s >= 0.45


def test_news_of_use_that_nobody_reads_does_not_pile_up(bench: Bench) -> None:
    with Job(bench, [PYTHON, "-I", "-S", "job.py"], files={"job.py": HOLDER_OF_MEMORY}) as job:
        job.until(Started)
        # Four seconds of a worker that does not listen: the keeper would have had four things to say.
        wait_until(lambda: job.output().count("tick") >= 20, "a while")
        job.slot.end(kill=True)
        said = []
        while True:
            wait_until(lambda: bool(job._poll.poll(0)), "the keeper's last word")
            report, _ = message.receive_now(job.slot._control)
            assert report is not None
            said.append(report[0])
            if report[0] == "ended":
                break
        assert said == ["used", "ended"]
        job.slot._over = True
