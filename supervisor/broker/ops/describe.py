"""describe: the protocol, for programs."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from supervisor.broker.service import Caller, Service
from supervisor.core.names import CODES, EVIDENCE, PROTOCOL, REASONS, STATES
from supervisor.wire.codec import OPS
from supervisor.wire.control import Describe
from supervisor.wire.frame import MAX_LINE
from supervisor.wire.lease import WorkerRequest


async def describe(_: Service, __: Caller, ___: Describe) -> dict[str, Any]:
    """JSON Schema of the requests that clients may send, and the tables of words."""
    return _description()


@cache
def _description() -> dict[str, Any]:
    workers = WorkerRequest.__args__
    requests = [struct for struct in OPS.values() if struct not in workers]
    schemas, components = msgspec.json.schema_components(requests, ref_template="#/components/{name}")
    return {
        "protocol": PROTOCOL,
        "max_line_bytes": MAX_LINE,
        "requests": {_op(struct): schema for struct, schema in zip(requests, schemas, strict=True)},
        "components": components,
        "codes": {name: code._asdict() for name, code in CODES.items()},
        "states": STATES,
        "reasons": REASONS,
        "evidence": EVIDENCE,
    }


def _op(struct: type) -> str:
    return next(op for op, known in OPS.items() if known is struct)
