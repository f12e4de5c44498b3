"""The mechanisms, one a file; the table of them is supervisor.sandbox.levels."""
