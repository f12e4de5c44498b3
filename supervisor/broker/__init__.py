"""The broker process: the only one that opens the database. Serves the control socket, grants leases, keeps time."""
