"""The metrics of a pool of real workers add up, whatever becomes of the workers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections import Counter
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.internet.defer import DeferredList, inlineCallbacks
from twisted.internet.task import deferLater

from tests.integration.embedding import Embedding, reactor
from twistcorn.master.assembly import Assembly
from twistcorn.master.metrics.page import Metrics
from twistcorn.policy.worker import Worker, WorkerState
from twistcorn.service import WSGIPoolService

#: An application that counts its own hits.
APP = """\
from prometheus_client import Counter, Gauge

HITS = Counter("site_hits", "Hits.", ["path"])
DEPTH = Gauge("site_depth", "Depth.")
MINE = Counter("twistcorn_mine", "Not its name to use.")
DEPTH.set(3)

def app(environ, start_response):
    HITS.labels(environ["PATH_INFO"]).inc()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Scrapes(Embedding):
    """A pool of workers, and what a scrape finds."""

    def assembly(self, service: WSGIPoolService) -> Assembly:
        """Its inside."""
        assembled = service._assembled
        assert assembled is not None
        return assembled

    def workers(self, service: WSGIPoolService) -> list[Worker]:
        """Those that are ready."""
        supervisor = self.assembly(service).supervisor
        assert supervisor is not None
        return [worker for worker in supervisor.workers.values() if worker.state is WorkerState.READY]

    @inlineCallbacks
    def until(self, true: Any) -> Any:
        """Wait for a state that causes no event; the time-out of the test is the deadline."""
        while not true():
            yield deferLater(reactor, 0.01, lambda: None)

    @inlineCallbacks
    def begin(self, workers: int) -> Any:
        """A service that runs, with all of its workers."""
        (self.folder / "app.py").write_text(APP)
        service = self.embed(workers=workers)
        self.parent.startService()
        yield service.when_ready()
        yield self.until(lambda: len(self.workers(service)) == workers)
        return service

    @inlineCallbacks
    def send(self, service: WSGIPoolService, number: int) -> Any:
        """A number of requests, some at once, each on a connection that may have been used before."""
        yield DeferredList([self.get(service, "/page") for _ in range(number)], fireOnOneErrback=True)

    @inlineCallbacks
    def scrape(self, service: WSGIPoolService) -> Any:
        """All samples, by name and labels."""
        metrics: Metrics | None = self.assembly(service).metrics
        assert metrics is not None
        _, body = yield metrics.scrape(OPENMETRICS)
        return {
            (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    @inlineCallbacks
    def end(self) -> Any:
        yield self.pool.closeCachedConnections()
        yield self.parent.stopService()

    @inlineCallbacks
    def test_every_request_is_counted_once(self) -> Any:
        """Across a kill and a reload the requests counted are the requests that were sent, here and in the app."""
        service = yield self.begin(2)
        yield self.send(service, 30)
        # The application's own counts are known up to the last scrape when a worker is killed.
        yield self.scrape(service)
        victim = self.workers(service)[0]
        os.kill(victim.pid, signal.SIGKILL)
        yield self.until(lambda: victim.state is WorkerState.GONE and len(self.workers(service)) == 2)
        yield self.send(service, 30)
        old = self.workers(service)
        problem = yield service.reload()
        assert problem == ""
        yield self.until(lambda: all(worker.state is WorkerState.GONE for worker in old))
        yield self.send(service, 40)

        samples = yield self.scrape(service)
        assert samples["twistcorn_requests_total", "method=GET", "status=2xx"] == 100
        assert samples["twistcorn_request_duration_seconds_count",] == 100
        assert samples["twistcorn_worker_exits_total", "cause=outside"] == 1
        assert samples["twistcorn_worker_exits_total", "cause=ordered"] == 2
        assert samples["twistcorn_reloads_total", "result=done"] == 1
        assert samples["site_hits_total", "path=/page"] == 100
        yield self.end()

    @inlineCallbacks
    def test_what_a_scrape_says_of_real_workers(self) -> Any:
        """Memory, processor time, threads and descriptors of each, and the gauges of the application in it."""
        service = yield self.begin(2)
        yield self.send(service, 20)
        yield self.pool.closeCachedConnections()
        yield self.until(lambda: not len(self.assembly(service).table))
        names = [("twistcorn_worker_threads", f"worker={worker.ident}") for worker in self.workers(service)]
        samples = yield self.scrape(service)
        while min(samples[name] for name in names) < 8:
            # The first heartbeat is older than the threads.
            yield deferLater(reactor, 0.05, lambda: None)
            samples = yield self.scrape(service)
        for worker in self.workers(service):
            label = f"worker={worker.ident}"
            assert samples["twistcorn_worker_proportional_memory_bytes", label] > 1 << 20
            assert 1 << 20 < samples["twistcorn_worker_resident_memory_bytes", label] < 1 << 30
            assert samples["twistcorn_worker_open_fds", label] > 8
            assert 0 < samples["twistcorn_worker_cpu_seconds_total", label] < 60
            assert samples["site_depth", label] == 3
        assert samples["twistcorn_received_bytes_total",] > 20 * len("GET /page HTTP/1.1")
        assert samples["twistcorn_sent_bytes_total",] > 20 * len("HTTP/1.1 200 OK")
        assert samples["twistcorn_master_resident_memory_bytes",] > 1 << 20
        assert not [name for name, *_ in samples if name.startswith("twistcorn_mine")]
        assert samples["twistcorn_requests_in_app",] == 0
        yield self.end()

    @inlineCallbacks
    def test_statsd(self) -> Any:
        """A StatsD server hears of every request, under gunicorn's names."""
        (self.folder / "app.py").write_text(APP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.setblocking(False)
            service = self.embed(statsd=f"localhost:{server.getsockname()[1]}")
            self.parent.startService()
            yield service.when_ready()
            yield self.send(service, 10)
            counts: Counter[str] = Counter()
            while counts["gunicorn.request.status.200"] < 10:
                yield deferLater(reactor, 0.05, lambda: None)
                with contextlib.suppress(BlockingIOError):
                    for line in server.recv(2000).decode().splitlines():
                        name, _, value = line.partition(":")
                        counts[name] += int(float(value.partition("|")[0]))
            assert counts["gunicorn.requests"] == counts["gunicorn.request.status.200"] == 10
            assert counts["gunicorn.workers"] >= 1
            yield self.end()

    @inlineCallbacks
    def test_a_worker_does_not_answer(self) -> Any:
        """A scrape waits half a second for it, and has all the rest."""
        service = yield self.begin(2)
        yield self.send(service, 10)
        yield self.scrape(service)
        frozen = self.workers(service)[0]
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            began = reactor.seconds()
            samples = yield self.scrape(service)
            assert 0.4 < reactor.seconds() - began < 3
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        assert samples["site_hits_total", "path=/page"] == 10
        assert samples["site_depth", f"worker={frozen.ident}"] == 3
        yield self.end()
