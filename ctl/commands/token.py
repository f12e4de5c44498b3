"""`workerctl token`: the secret that HTTP wants, alone on stdout."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

ROLES = ("read", "write", "webhook")
EXAMPLES = (
    "workerctl token --url",
    'curl -H "Authorization: Bearer $(workerctl token --role read)" http://127.0.0.1:8080/jobs',
    "workerctl token --role webhook",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument(
        "--role",
        choices=ROLES,
        default="write",
        metavar="R",
        help="read looks, write does everything (usual); webhook is the key that signs webhooks",
    )
    parser.add_argument("--url", action="store_true", help="the dashboard's address, with the token in it")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints it and nothing else: `$(workerctl token)` is the token."""
    answer = client.token(options.role)
    url = address(answer)
    if console.json:
        console.print_json({**answer, "dashboard": url})
    else:
        console.print(url if options.url else answer["token"])
    return 0


def address(answer: dict[str, str]) -> str:
    """Where the dashboard is. A fragment is never sent to a server, nor written to its log."""
    return f"{answer['url']}#token={answer['token']}"
