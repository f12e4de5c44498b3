"""The worker process: leases one job at a time, decides over its time, cancel and output, settles its outcome.

Runs no user code, starts no thread and no loop framework, and holds no database handle.
"""
