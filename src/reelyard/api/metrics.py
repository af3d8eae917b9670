"""Figures for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from reelyard.domain.farm import Worker
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.store.figures import BUCKETS, Figures

from .events import Hub
from .identity import TheOffice, Who

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response,
            responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}})  # fmt: skip
def metrics(office: TheOffice, who: Who, request: Request) -> Response:
    """Queue lengths, durations, speeds, cache hits, failures by code; in Prometheus's text format."""
    figures, workers = office.figures(who)
    hub: Hub = request.app.state.hub
    registry = CollectorRegistry()
    registry.register(_Farm(figures, workers, hub.watchers))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Farm(Collector):
    """The figures of one moment."""

    def __init__(self, figures: Figures, workers: Sequence[Worker], watchers: int) -> None:
        self._figures = figures
        self._workers = workers
        self._watchers = watchers

    def collect(self) -> Iterator[Metric]:
        yield from self._queues()
        yield from self._work()
        yield from self._crew()
        figures = self._figures
        yield GaugeMetricFamily("reelyard_results_undelivered", "Results that wait to be delivered",
                                figures.undelivered)  # fmt: skip
        yield GaugeMetricFamily("reelyard_results_unexported", "Results that wait for BigQuery",
                                figures.unexported)  # fmt: skip
        yield GaugeMetricFamily("reelyard_results_export_failing", "Of those, tried in vain",
                                figures.export_failing)  # fmt: skip
        yield GaugeMetricFamily("reelyard_event_watchers", "Open streams of events", self._watchers)

    def _queues(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily("reelyard_jobs", "Jobs that wait or run",
                                  labels=["queue", "status"])  # fmt: skip
        for queue in Queue:
            for status in (JobStatus.QUEUED, JobStatus.PROCESSING):
                count = self._figures.waiting.get((queue.value, status.value), 0)
                gauge.add_metric([queue.value, status.value], count)
        yield gauge

    def _work(self) -> Iterator[Metric]:
        figures = self._figures
        results = CounterMetricFamily("reelyard_results", "Jobs that ended", labels=["status"])
        for status, count in figures.results.items():
            results.add_metric([status], count)
        yield results
        # Gauges: a job that is removed takes its attempts and segments with it.
        attempts = GaugeMetricFamily("reelyard_attempts", "Attempts at the jobs in the books",
                                     labels=["outcome", "code"])  # fmt: skip
        for (outcome, code), count in figures.attempts.items():
            attempts.add_metric([outcome, code], count)
        yield attempts
        buckets = [(str(bound), n) for bound, n in zip(BUCKETS, figures.within, strict=True)]
        durations = HistogramMetricFamily("reelyard_job_seconds", "Work on completed jobs")
        durations.add_metric([], [*buckets, ("+Inf", figures.completed)], figures.seconds_of_work)
        yield durations
        yield CounterMetricFamily("reelyard_film_seconds", "Film made", figures.seconds_of_film)
        segments = GaugeMetricFamily("reelyard_segments", "Segments of the films in the books",
                                     labels=["cache"])  # fmt: skip
        segments.add_metric(["hit"], figures.segments_cached)
        segments.add_metric(["miss"], figures.segments_rendered)
        yield segments
        yield GaugeMetricFamily("reelyard_segments_helped", "Of those, made for another worker's job",
                                figures.segments_helped)  # fmt: skip

    def _crew(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("reelyard_worker_up", "Whether a worker is heard of",
                               labels=["worker", "state"])  # fmt: skip
        speed = GaugeMetricFamily("reelyard_worker_speed", "Seconds of film made a second",
                                  labels=["worker", "form"])  # fmt: skip
        disk = GaugeMetricFamily("reelyard_worker_free_disk_bytes", "Free disk", labels=["worker"])
        for worker in self._workers:
            up.add_metric([worker.worker_id, worker.state.value], int(worker.is_alive))
            disk.add_metric([worker.worker_id], worker.capabilities.free_disk)
            for form, value in (("1080p", worker.speed), ("4k", worker.speed_4k)):
                if value is not None:
                    speed.add_metric([worker.worker_id, form], value)
        yield from (up, speed, disk)
