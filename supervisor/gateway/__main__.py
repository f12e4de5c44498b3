"""`python -m supervisor.gateway`: started by the arbiter, with its orders on standard input."""

from __future__ import annotations

import sys

from supervisor.gateway.main import main

if __name__ == "__main__":
    sys.exit(main())
