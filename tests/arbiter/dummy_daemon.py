"""`worker-supervisor` with dummy children: the real command line, settings and arbiter."""

from __future__ import annotations

import os
import sys
import threading
import time

from supervisor import cli
from supervisor.arbiter import broker, main
from supervisor.arbiter.kinds import Kind

DUMMIES = {
    "broker": Kind("dummy_broker", ("lock", "listener", "channel")),
    "worker": Kind("dummy_worker", ("lock",)),
}


if __name__ == "__main__":
    real_run = main.run
    main.run = lambda settings: real_run(settings, DUMMIES)
    broker._READY_LIFE_S = float(os.environ.get("DUMMY_READY_LIFE_S", broker._READY_LIFE_S))
    if "DUMMY_THREAD" in os.environ:
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    sys.exit(cli.main())
