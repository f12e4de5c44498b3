"""The parent of everything: forks, reaps, watches and restarts the daemon's processes, and adopts their orphans.

It opens no database, runs no loop framework, starts no thread and reads no client's byte.
"""
