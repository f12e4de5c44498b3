"""What to start for a job: which interpreter, with which arguments, environment and kernel limits.

Knows nothing of queues and sandboxes; starts nothing but the probes of its interpreters.
"""
