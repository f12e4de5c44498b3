"""The HTTP gateway: a program of its own, started by the arbiter, that speaks HTTP to the world and the control
protocol to the broker. A plain client: it holds no queue, no database and no privilege, and may be killed at any time.
"""
