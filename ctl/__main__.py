"""`python -m ctl` is `workerctl`."""

import sys

from ctl.main import main

sys.exit(main())
