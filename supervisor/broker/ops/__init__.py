"""One file an operation. These tables are the one place that knows which request is answered by what.

`OPS` answer once; `STREAMS` send items until they are done and return the cursor; `WORKER_OPS` are for workers and
answer by themselves: `AT_ONCE_OPS` are begun where they are read, from a worker that has attached. `GROUP_OPS` are those that members of the socket's group may use, on their own jobs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from supervisor.broker.ops.artifact import artifact
from supervisor.broker.ops.artifacts import artifacts
from supervisor.broker.ops.attach import attach
from supervisor.broker.ops.backup import backup
from supervisor.broker.ops.backup_piece import backup_piece
from supervisor.broker.ops.cancel import cancel
from supervisor.broker.ops.delete import delete
from supervisor.broker.ops.describe import describe
from supervisor.broker.ops.doctor import doctor
from supervisor.broker.ops.drain import drain
from supervisor.broker.ops.events import events
from supervisor.broker.ops.explain import explain
from supervisor.broker.ops.follow import follow
from supervisor.broker.ops.health import health
from supervisor.broker.ops.hello import hello
from supervisor.broker.ops.list_ import list_
from supervisor.broker.ops.logs import logs
from supervisor.broker.ops.next_ import next_
from supervisor.broker.ops.pause import pause
from supervisor.broker.ops.prune import prune
from supervisor.broker.ops.put import put
from supervisor.broker.ops.release import release
from supervisor.broker.ops.reload import reload
from supervisor.broker.ops.report import report
from supervisor.broker.ops.restart import restart
from supervisor.broker.ops.resume import resume
from supervisor.broker.ops.retry import retry
from supervisor.broker.ops.scale import scale
from supervisor.broker.ops.settle import settle
from supervisor.broker.ops.show import show
from supervisor.broker.ops.standby import standby
from supervisor.broker.ops.stats import stats
from supervisor.broker.ops.status import status
from supervisor.broker.ops.stop import stop
from supervisor.broker.ops.submit import submit
from supervisor.broker.ops.submit_many import submit_many
from supervisor.broker.ops.token import token
from supervisor.broker.ops.upgrade import upgrade
from supervisor.broker.ops.wait import wait
from supervisor.broker.ops.workers import workers
from supervisor.wire import control, lease

OPS: Final[dict[type, Callable[..., Awaitable[Any]]]] = {
    control.Hello: hello,
    control.Describe: describe,
    control.Submit: submit,
    control.SubmitMany: submit_many,
    control.Put: put,
    control.Show: show,
    control.Explain: explain,
    control.List: list_,
    control.Logs: logs,
    control.Artifacts: artifacts,
    control.Artifact: artifact,
    control.Cancel: cancel,
    control.Retry: retry,
    control.Delete: delete,
    control.Pause: pause,
    control.Resume: resume,
    control.BackupPiece: backup_piece,
    control.Status: status,
    control.Workers: workers,
    control.Stats: stats,
    control.Health: health,
    control.Token: token,
    control.Doctor: doctor,
    control.Scale: scale,
    control.Restart: restart,
    control.Reload: reload,
    control.Drain: drain,
    control.Upgrade: upgrade,
    control.Stop: stop,
}
STREAMS: Final[dict[type, Callable[..., Awaitable[int]]]] = {
    control.Follow: follow,
    control.Wait: wait,
    control.Prune: prune,
    control.Backup: backup,
    control.Events: events,
}
AT_ONCE_OPS: Final[dict[type, Callable[..., None]]] = {
    lease.Next: next_,
    lease.Settle: settle,
    lease.Release: release,
    lease.Report: report,
    lease.Standby: standby,
}
WORKER_OPS: Final[dict[type, Callable[..., Awaitable[None] | None]]] = {lease.Attach: attach, **AT_ONCE_OPS}
GROUP_OPS: Final = frozenset(
    {
        control.Hello,
        control.Describe,
        control.Submit,
        control.SubmitMany,
        control.Put,
        control.Show,
        control.Explain,
        control.List,
        control.Logs,
        control.Artifacts,
        control.Artifact,
        control.Follow,
        control.Wait,
        control.Cancel,
        control.Retry,
        control.Delete,
        control.Prune,
        control.Status,
        control.Workers,
        control.Stats,
        control.Events,
        control.Health,
    }
)
