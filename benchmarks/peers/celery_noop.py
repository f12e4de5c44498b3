"""Celery with a task that does nothing: `celery_noop.py PORT JOBS CONCURRENCY` prints jobs a second, sending excluded."""

import os
import subprocess
import sys
import time

import redis
from celery import Celery

PORT = os.environ.get("PEER_PORT") or sys.argv[1]
app = Celery("celery_noop", broker=f"redis://127.0.0.1:{PORT}/0")
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True)


@app.task
def noop() -> None:
    return None


def main() -> None:
    jobs, concurrency = int(sys.argv[2]), sys.argv[3]
    with app.producer_pool.acquire() as producer:
        for _ in range(jobs):
            noop.apply_async(producer=producer)
    broker = redis.Redis(port=int(PORT))
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_noop", "worker", "-c", concurrency, "-P", "prefork", "-l", "error",
         "--without-gossip", "--without-mingle", "--without-heartbeat"],
        env={**os.environ, "PEER_PORT": PORT, "PYTHONPATH": os.path.dirname(__file__)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while broker.llen("celery") == jobs:
        time.sleep(0.0005)
    began = time.perf_counter()
    while broker.llen("celery") + broker.hlen("unacked") > 0:
        time.sleep(0.002)
    print(jobs / (time.perf_counter() - began))
    worker.terminate()
    worker.wait()


if __name__ == "__main__":
    main()
