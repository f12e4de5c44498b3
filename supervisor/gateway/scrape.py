"""`/metrics`: what the broker says of itself at this moment, beside what the gateway has counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from supervisor.core.errors import RequestError
from supervisor.gateway.link import Link
from supervisor.gateway.meter import Meter

Labelled = dict[tuple[str, ...], float]


async def scrape(link: Link, meter: Meter, accept: str) -> tuple[bytes, str]:
    """The text in the format that the scraper prefers, and its media type."""
    encode, media_type = choose_encoder(accept)
    try:
        health, status, workers = await asyncio.gather(link.ask("health"), link.ask("status"), link.ask("workers"))
    except RequestError:
        found = [_gauge("up", "Whether the daemon answers.", (), {(): 0.0})]
    else:
        found = list(families(health, status, workers["workers"], meter))
    return encode(_Moment(found, meter)), media_type


class _Moment:
    """What the library wants of a registry: everything there is, collected."""

    def __init__(self, families: Iterable[Metric], meter: Meter) -> None:
        self._families = families
        self._meter = meter

    def collect(self) -> Iterator[Metric]:
        yield from self._families
        yield from self._meter.registry.collect()


def families(
    health: dict[str, Any], status: dict[str, Any], workers: list[dict[str, Any]], meter: Meter
) -> Iterator[Metric]:
    """What the broker's answers to `health`, `status` and `workers` come to."""
    yield _gauge("up", "Whether the daemon answers.", (), {(): 1.0})
    yield _gauge("info", "The daemon's release.", ("version",), {(status["version"],): 1.0})
    yield _gauge("uptime_seconds", "Since when the daemon runs.", (), {(): status["uptime_s"]})
    yield _gauge("healthy", "1 for healthy, 0 for degraded.", (), {(): float(health["status"] == "healthy")})
    oldest = health.get("oldest_queued_s")
    yield _gauge("oldest_queued_seconds", "How long the longest waiting queued job waits.", (), {(): oldest or 0.0})
    yield _gauge("jobs", "Jobs that are there now.", ("queue", "state"), _jobs(status, meter))
    paused: Labelled = {}
    for one in status["queues"]:
        key = (meter.queue(one["name"]),)
        paused[key] = max(paused.get(key, 0.0), float(bool(one["paused"])))
    yield _gauge("queue_paused", "Whether a queue is paused.", ("queue",), paused)
    now = [one for one in workers if one["state"] != "gone"]
    slots: Labelled = {key: float(n) for key, n in Counter((one["pool"], one["state"]) for one in now).items()}
    yield _gauge("workers", "Worker slots by what they do now.", ("pool", "state"), slots)
    attempts: Counter[tuple[str, ...]] = Counter()
    busy: Counter[tuple[str, ...]] = Counter()
    restarts: Counter[tuple[str, ...]] = Counter()
    for one in workers:
        attempts[one["pool"], "ok"] += one["done"]
        attempts[one["pool"], "failed"] += one["failed"]
        busy[(one["pool"],)] += one["busy_s"]
        for reason, count in one["reasons"].items():
            restarts[one["pool"], reason] += count
    yield _counter("attempts", "Attempts that ended, since the database began.", ("pool", "result"), dict(attempts))
    yield _counter("worker_busy_seconds", "Wall-clock time of all attempts that ended.", ("pool",), dict(busy))
    yield _counter("worker_restarts", "Worker processes that were replaced.", ("pool", "reason"), dict(restarts))


def _jobs(status: dict[str, Any], meter: Meter) -> Labelled:
    jobs: Counter[tuple[str, ...]] = Counter()
    for one in status["queues"]:
        for state, count in one["jobs"].items():
            jobs[meter.queue(one["name"]), state] += count
    return dict(jobs)


def _gauge(name: str, says: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = GaugeMetricFamily(f"workerctl_{name}", says, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, says: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = CounterMetricFamily(f"workerctl_{name}", says, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
