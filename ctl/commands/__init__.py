"""One file a verb: `EXAMPLES`, `add_arguments(parser)`, `run(client, console, options) -> exit code`."""
