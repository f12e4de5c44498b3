"""A web form whose work is done by jobs, and a page that shows how far they are.

The browser speaks to this program alone, and this program to the daemon, over its socket. A visitor chooses numbers; the
script is ours. What takes long is never done here: a request is over when the job is on the disk, and a visitor who closes
the page, or a restart of this program, loses nothing.

    uvicorn app:app --port 8080
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ctl import Client, Job, NoDaemon, NotFound, QueueFull, WorkerctlError, WrongState

HERE = pathlib.Path(__file__).resolve().parent
SOCKET = os.environ["WORKER_SOCKET"]
QUEUE = "pictures"
SIZES = {"small": (160, 100), "large": (480, 320)}
LONGEST_LINE_BYTES = 1 << 20


# What visitors ask for. `Client` waits for its answers, so these are no coroutines: Starlette runs them in threads.


def form(_: Request) -> Response:
    """The form."""
    return FileResponse(HERE / "page" / "form.html")


async def submit(request: Request) -> Response:
    """Makes a job of the form, and sends the browser to its page."""
    async with request.form() as fields:
        wanted = checked(dict(fields))
    job = await run_in_threadpool(submitted, wanted)
    return RedirectResponse(f"/pictures/{job}", status_code=303)


def picture(request: Request) -> Response:
    """The page of a job: its script asks for the rest."""
    with Client(SOCKET) as client:
        ours(client, request)
    return FileResponse(HERE / "page" / "picture.html")


def image(request: Request) -> Response:
    """What the job has drawn."""
    with Client(SOCKET) as client:
        drawn = client.artifact(ours(client, request), "picture.png")
    return Response(drawn, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


def cancel(request: Request) -> Response:
    """Ends it, also while it runs."""
    with Client(SOCKET) as client:
        state = client.cancel(ours(client, request), reason="the visitor did not want it any more")
    return JSONResponse({"state": state})


async def events(request: Request) -> Response:
    """What happens to the job, from its beginning or from where the browser lost us, to its end."""
    job = await run_in_threadpool(ours_by_itself, request)
    after = request.headers.get("last-event-id", "0")
    told = events_of(job.id, int(after) if after.isdecimal() else 0)
    return StreamingResponse(told, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


# What they may ask for.


def checked(fields: dict[str, Any]) -> dict[str, Any]:
    """The form's numbers, if they make sense. A browser checks them too, but whoever likes can do without one."""
    try:
        x, y, zoom = (float(fields[name]) for name in ("x", "y", "zoom"))
        width, height = SIZES[fields["size"]]
    except (KeyError, TypeError, ValueError) as error:
        raise HTTPException(400, "x, y and zoom are numbers, size is one of " + ", ".join(SIZES)) from error
    if not (-2 <= x <= 2 and -2 <= y <= 2 and 1 <= zoom <= 100_000):
        raise HTTPException(400, "x and y are from -2 to 2, zoom is from 1 to 100000")
    return {"x": x, "y": y, "zoom": zoom, "width": width, "height": height}


def submitted(wanted: dict[str, Any]) -> int:
    """The id of a new job. When we have it, the job is on the disk."""
    with Client(SOCKET) as client:
        return client.submit(HERE / "render.py", queue=QUEUE, params=wanted, timeout="30s").id


def ours(client: Client, request: Request) -> Job:
    """The job of the address. The daemon may have others, which are nobody's business here."""
    job = client.show(request.path_params["job"])
    if job.queue != QUEUE:
        raise NotFound("not_found", f"no job {job.id}")
    return job


def ours_by_itself(request: Request) -> Job:
    """The same, with a connection for it."""
    with Client(SOCKET) as client:
        return ours(client, request)


# Progress. A stream may be open for long, and a thread for each would be too many: so this one is a coroutine, and speaks
# the control protocol itself. That is one line of JSON there, and many back (docs/PROTOCOL.md).


async def events_of(job: int, after: int) -> AsyncIterator[str]:
    """The job's events as server-sent events; `id` is the cursor by which a browser resumes. Ends with the job.

    If the daemon is restarted meanwhile, the stream breaks off, and the browser comes back for the rest by itself.
    """
    reader, writer = await asyncio.open_unix_connection(SOCKET, limit=LONGEST_LINE_BYTES)
    try:
        request = {"op": "follow", "id": 1, "job": job, "after": after, "output": False}
        writer.write(json.dumps(request).encode() + b"\n")
        async for line in reader:
            answer = json.loads(line)
            if answer["re"] != "item":
                return
            event = answer["value"]
            # No more than the page needs: the rest of the event tells of the machine.
            shown = {"event": event["event"], "state": event["state"]}
            shown |= {name: event["data"][name] for name in ("percentage", "message") if name in event["data"]}
            yield f"id: {event['cursor']}\ndata: {json.dumps(shown)}\n\n"
    finally:
        writer.close()


# What the daemon refuses, as HTTP says it.


def refused(_: Request, error: Exception) -> Response:
    """What went wrong, in words that a visitor may see."""
    known: dict[type[Exception], tuple[int, str]] = {
        NotFound: (404, "there is no such picture"),
        WrongState: (409, "it is over already"),
        QueueFull: (503, "too many pictures are waited for: come back later"),
        NoDaemon: (503, "nobody is here to draw: come back later"),
    }
    status, words = known.get(type(error), (500, "that did not work"))
    return JSONResponse({"error": words}, status)


app = Starlette(
    routes=[
        Route("/", form),
        Route("/pictures", submit, methods=["POST"]),
        Route("/pictures/{job:int}", picture),
        Route("/pictures/{job:int}/events", events),
        Route("/pictures/{job:int}/picture.png", image),
        Route("/pictures/{job:int}/cancel", cancel, methods=["POST"]),
        Mount("/page", StaticFiles(directory=HERE / "page")),
    ],
    exception_handlers={WorkerctlError: refused},
)
