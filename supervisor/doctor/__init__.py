"""What `doctor` checks: the storage, the machine, what the workers proved. Decisions are values in, values out.

Used by the broker, which looks at a daemon that runs, and by `worker-supervisor doctor`, which looks at one that does
not. Never changes what it looks at, and never opens a file of the database but through the store.
"""
