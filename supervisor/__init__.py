"""Workerctl's daemon: a durable single-host job queue with isolated workers.

Importing this package imports nothing else of it: the slim processes beside each job and the quick command
rely on that. `IS_WORKERCTL` is what start-up checks, since another distribution installs the same name.
"""

__version__ = "0.1.0"

IS_WORKERCTL = True
