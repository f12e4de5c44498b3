"""`workerctl token`: the secret that HTTP wants, alone on stdout."""

from __future__ import annotations

from ctl.errors import invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

WEBHOOK = "webhook"
ROLES = ("read", "write", WEBHOOK)
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
    is_key = options.role == WEBHOOK
    if options.url and is_key:
        raise invalid("--url is the dashboard's address with a token in it, and the key of webhooks is none")
    answer = client.token(options.role)
    if console.json:
        console.print_json({**answer, "dashboard": None if is_key else address(answer)})
    else:
        console.print(address(answer) if options.url else answer["token"])
    return 0


def address(answer: dict[str, str]) -> str:
    """Where the dashboard is. A fragment is never sent to a server, nor written to its log."""
    return f"{answer['url']}#token={answer['token']}"
