"""The process that runs people's handler classes: one a worker, under the keeper, never inside of the worker.

Invariant: stdlib alone, and of the daemon only the slim parts of the sandbox library: it runs in any interpreter that
a pool names. Never: opens the socket, the database or the lock of the daemon.
"""
