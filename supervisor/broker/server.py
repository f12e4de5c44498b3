"""Serves the listener that the arbiter made: takes connections, knows who asks, and finds each request's operation.

The socket's path is the arbiter's; nothing here binds or unlinks it.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
import socket
from functools import partial
from typing import Final

from supervisor.broker.door import AT_ONCE, Door
from supervisor.broker.ops import AT_ONCE_OPS, GROUP_OPS, OPS, STREAMS, WORKER_OPS
from supervisor.broker.ops.attach import attach
from supervisor.broker.ops.submit import submit_at_once
from supervisor.broker.service import Caller, Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.wire.codec import AnyRequest
from supervisor.wire.control import Submit
from supervisor.wire.lease import Attach

MAX_CONNECTIONS: Final = 512
LEAST_CONNECTIONS: Final = 8
OWN_FILES: Final = 48
"""Open files that are no connection's: the database, the listener, content that is put, those that come and go."""
FILES_EACH: Final = 3
"""A connection that follows a job has its two outputs open."""
WANTED_FILES: Final = OWN_FILES + FILES_EACH * MAX_CONNECTIONS


class Server:
    """The open connections. Above the maximum the one that has been idle longest makes room for a new one."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sessions: dict[int, Session] = {}
        self._count = 0
        self._owner_uid = os.geteuid()
        self._most = most_connections(_open_files())
        self._group = _group_id(service.settings.socket_group)
        self._door: Door | None = None
        self._closed = False

    def serve(self, listener: socket.socket) -> None:
        """Takes connections from now on."""
        self._door = Door(listener, self._session, partial(self._end_idle, AT_ONCE))

    def close(self) -> None:
        """Ends every connection, also those that are just coming in; who comes now waits for the next broker."""
        self._closed = True
        if self._door is not None:
            self._door.close()
        for session in self.sessions():
            session.close()

    def sessions(self) -> list[Session]:
        """The connections that are open."""
        return list(self._sessions.values())

    def joined(self, session: Session) -> None:
        """A connection was made."""
        self._sessions[session.number] = session
        if self._closed:
            session.close()
            return
        if sum(not other.closing for other in self._sessions.values()) > self._most and not self._end_idle(1, session):
            session.error(None, RequestError("busy", f"{self._most} connections are open and in use"))
            session.close()

    def left(self, session: Session) -> None:
        """A connection is gone."""
        self._sessions.pop(session.number, None)
        if session.attach is not None:
            self._service.leases.leave(session.number)

    def _end_idle(self, most: int, newest: Session | None = None) -> bool:
        """Ends those that have been idle longest; False if there is none."""
        idle = [session for session in self._sessions.values() if session.idle and session is not newest]
        # One whose first request may still be on its way is the last to be closed.
        idle.sort(key=lambda session: (session.is_new, session.idle_since))
        for session in idle[:most]:
            session.close()
        return bool(idle)

    def _session(self) -> Session:
        self._count += 1
        return Session(self._count, self)

    def caller(self, uid: int, gid: int, pid: int, connection: int) -> Caller:
        """Who the kernel says it is."""
        return Caller(
            uid=uid,
            gid=gid,
            pid=pid,
            connection=connection,
            is_admin=uid in (0, self._owner_uid),
        )

    def is_stream(self, request: AnyRequest) -> bool:
        """Whether it is answered until the client has enough."""
        return type(request) in STREAMS

    def carry_out(self, session: Session, request: AnyRequest) -> bool:
        """Begins a submit, or what a worker says between two jobs; it answers by itself. False if it is another one."""
        kind = type(request)
        if isinstance(request, Submit):
            self._authorise(session, kind)
            return submit_at_once(self._service, session, request)
        if session.attach is None or kind not in AT_ONCE_OPS:
            return False
        self._authorise(session, kind)
        AT_ONCE_OPS[kind](self._service, session, request)
        return True

    async def dispatch(self, session: Session, request: AnyRequest) -> None:
        """Answers a request, or raises why not."""
        kind = type(request)
        self._authorise(session, kind)
        if kind in STREAMS:
            session.end(request.id, await STREAMS[kind](self._service, session, request))
        elif isinstance(request, Attach):
            await attach(self._service, session, request)
        elif kind in AT_ONCE_OPS:
            raise RequestError("bad_request", "attach first")
        else:
            session.answer_in_turn(request.id, await OPS[kind](self._service, session.caller, request))

    def _authorise(self, session: Session, kind: type) -> None:
        caller = session.caller
        if kind in WORKER_OPS:
            # What a worker said before it died counts, also when there is no process to be looked at any more.
            session.is_worker = session.is_worker or (
                caller.uid == self._owner_uid and is_child_of(caller.pid, os.getppid())
            )
            if not session.is_worker:
                raise RequestError("permission_denied", "only a worker of this daemon may do this")
        elif not caller.is_admin and not (kind in GROUP_OPS and self._in_group(caller)):
            raise RequestError("permission_denied", f"user {caller.uid} may not do this: ask the daemon's owner")

    def _in_group(self, caller: Caller) -> bool:
        if self._group is None:
            return False
        if caller.gid == self._group:
            return True
        try:
            return self._group in os.getgrouplist(pwd.getpwuid(caller.uid).pw_name, caller.gid)
        except KeyError:
            return False


def most_connections(open_files: int) -> int:
    """How many connections a process serves that may have so many open files."""
    if open_files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(LEAST_CONNECTIONS, min(MAX_CONNECTIONS, (open_files - OWN_FILES) // FILES_EACH))


def _open_files() -> int:
    """How many this process may have: as many as it wants, if it may give them to itself. It starts nobody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < WANTED_FILES:
        soft = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def is_child_of(pid: int, parent: int) -> bool:
    """Whether `parent` is the parent process of `pid`, by the kernel's word."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1]) == parent
    except (OSError, IndexError, ValueError):
        return False


def _group_id(name: str | None) -> int | None:
    return None if name is None else grp.getgrnam(name).gr_gid
