"""The numbers that the gateway counts itself, from its start on: what it saw happen, and what it was asked.

A counter that begins again is what Prometheus expects of a process that was restarted. Names that users choose are
labels: the first so many get series of their own, the rest share one.
"""

from __future__ import annotations

from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from supervisor.core.names import FINAL_STATES

NAMESPACE: Final = "workerctl"
HOOK_RESULTS: Final = ("delivered", "failed", "dropped")
WAIT_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400)
RUN_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 3600)
HTTP_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
MOST_QUEUES: Final = 200
OTHERS: Final = "_other"
"""Stands for every queue beyond the first so many; no queue can be called so."""


class Meter:
    """Fed with events and with what was served; `registry` has the series, `described` their names, types and labels."""

    def __init__(self) -> None:
        # In the text format each would be one more series.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.described: list[tuple[str, str, tuple[str, ...], str]] = []
        self._queues: set[str] = set()
        self._wait = self._histogram(
            "job_wait_seconds", "From when a job was due until an attempt of it began.", ("queue", "pool"), WAIT_S
        )
        self._run = self._histogram(
            "job_run_seconds",
            "Wall-clock time of an attempt, by the reason that it ended with.",
            ("queue", "pool", "reason"),
            RUN_S,
        )
        self._finished = self._counter("jobs_finished", "Jobs that became final.", "queue", "pool", "state", "reason")
        self._events = self._counter("events", "What happened, by kind of event.", "event")
        self._requests = self._counter(
            "http_requests", "HTTP requests that were answered.", "method", "route", "status"
        )
        self._duration = self._histogram(
            "http_request_duration_seconds",
            "Time until an HTTP response was complete, but for streams of events.",
            ("route",),
            HTTP_S,
        )
        self.streams = self._gauge("http_event_streams", "Streams of events that are open.")
        self.hooks = self._counter("webhooks", "Webhooks, by what became of them.", "result")
        for result in HOOK_RESULTS:
            self.hooks.labels(result)
        self.hooks_pending = self._gauge("webhooks_pending", "Webhooks that are still to be delivered.")
        self.hook_tries = self._counter("webhook_tries", "Requests that were made to deliver webhooks.")

    def _histogram(self, name: str, says: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        self.described.append((f"{NAMESPACE}_{name}", "histogram", labels, says))
        return Histogram(name, says, labels, namespace=NAMESPACE, registry=self.registry, buckets=buckets)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        self.described.append((f"{NAMESPACE}_{name}_total", "counter", labels, says))
        return Counter(name, says, labels, namespace=NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, says: str) -> Gauge:
        self.described.append((f"{NAMESPACE}_{name}", "gauge", (), says))
        return Gauge(name, says, namespace=NAMESPACE, registry=self.registry)

    def happened(self, event: dict[str, Any]) -> None:
        """Counts one event of the daemon."""
        kind, data = str(event.get("event")), event.get("data") or {}
        self._events.labels(kind).inc()
        if event.get("job") is None:
            return
        queue = self.queue(data["queue"]) if "queue" in data else ""
        pool = str(data.get("worker", "")).rpartition("/")[0]
        if "waited_s" in data:
            self._wait.labels(queue, pool).observe(data["waited_s"])
        if data.get("wall_s") is not None:
            self._run.labels(queue, pool, data.get("reason", "")).observe(data["wall_s"])
        if kind == event.get("state") and kind in FINAL_STATES:
            self._finished.labels(queue, pool, event["state"], data.get("reason", "")).inc()

    def served(self, method: str, route: str, status: int, took_s: float) -> None:
        """Counts one HTTP request; `status` 0: the client was gone before it was answered."""
        known = method if method in ("GET", "HEAD", "POST", "DELETE") else "other"
        self._requests.labels(known, route, str(status or 499)).inc()
        if not route.endswith("/events"):
            self._duration.labels(route).observe(took_s)

    def queue(self, name: str) -> str:
        """The label of a queue."""
        if name in self._queues:
            return name
        if len(self._queues) >= MOST_QUEUES:
            return OTHERS
        self._queues.add(name)
        return name
