"""The messages that processes exchange, and their framing. Types only: what a message means is its handler's."""
