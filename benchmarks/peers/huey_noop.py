"""Huey on SQLite with a task that does nothing: `huey_noop.py FOLDER JOBS WORKERS` prints jobs a second."""

import os
import subprocess
import sys
import time

from huey import SqliteHuey

FOLDER = os.environ.get("PEER_FOLDER") or sys.argv[1]
huey = SqliteHuey("bench", filename=os.path.join(FOLDER, "huey.db"), results=False, fsync=True)


@huey.task()
def noop() -> None:
    return None


def main() -> None:
    jobs, workers = int(sys.argv[2]), sys.argv[3]
    for _ in range(jobs):
        noop()
    consumer = subprocess.Popen(
        [sys.executable, "-m", "huey.bin.huey_consumer", "huey_noop.huey", "-w", workers, "-k", "process", "-q", "-n"],
        env={**os.environ, "PEER_FOLDER": FOLDER, "PYTHONPATH": os.path.dirname(__file__)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while huey.pending_count() == jobs:
        time.sleep(0.0005)
    began = time.perf_counter()
    while huey.pending_count() > 0:
        time.sleep(0.002)
    print(jobs / (time.perf_counter() - began))
    consumer.terminate()
    consumer.wait()


if __name__ == "__main__":
    # By the name that the consumer knows: what this program itself enqueues would be a task of `__main__`.
    os.environ["PEER_FOLDER"] = FOLDER
    import huey_noop

    huey_noop.main()
