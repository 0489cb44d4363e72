"""What is done to a server while the crowd asks: each scenario a function of the stage, and one table of them.

Law: orders the steps; doing is the stage's, judging that of ``musts``.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.disrupt import musts
from bench.disrupt.asides import ask
from bench.disrupt.contestants import Feature
from bench.disrupt.floods import overload, term
from bench.disrupt.outcomes import Outcome
from bench.disrupt.stage import Stage

#: After the last blow, so that its consequences are counted. Longer than a boot.
SETTLE = 3.0
RELOAD_PERIOD = 5.0
KILL_PERIOD = 1.0
#: A server that rolls through its workers by timer needs this long for a reload.
RELOAD_PATIENCE = 25.0
#: Long enough to see what becomes of the first new worker, and of the last where they come by timer.
BAD_LEAST, BAD_MOST = 8.0, 20.0
STUCK_SECONDS = 12
POISONINGS = 20
POISON_PERIOD = 1.0
POISON_PATIENCE = 5.0
#: Long enough to see a heartbeat of 5 s work, and one of 30 s in a run of full length.
STOPPED_LEAST, STOPPED_MOST = 12.0, 40.0


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    :ivar must: what twistcorn promises; `judge` tells what of it was not reached.
    :ivar feature: what is asked of the server, by options of its own.
    :ivar needed: without the feature there is nothing to see.
    :ivar ends: the server is to end.
    :ivar asking: what the clients do otherwise than they usually do, as fields of `Orders`.
    """

    name: str
    summary: str
    must: str
    act: Callable[[Stage], None]
    judge: Callable[[Outcome], Iterator[str]]
    feature: Feature | None = None
    needed: bool = False
    ends: bool = False
    asking: dict[str, object] = field(default_factory=dict)


def reload(stage: Stage) -> None:
    """Deploy again and again."""
    stage.calm()
    stage.disrupt()
    stage.every(min(RELOAD_PERIOD, stage.pace.seconds), stage.pace.seconds, stage.deploy)
    stage.wait(SETTLE)


def bad_deploy(stage: Stage) -> None:
    """Deploy what cannot be imported, then what can."""
    stage.calm()
    stage.disrupt()
    (stage.folder / "broken").touch()
    stage.deploy()
    stage.wait(min(BAD_MOST, max(BAD_LEAST, stage.pace.seconds)))
    stage.look_whether_it_lives()
    stage.figures["log tells"] = float("this deploy is broken" in stage.log())
    (stage.folder / "broken").unlink()
    stage.crowd.begin("mending")
    old = set(stage.workers())
    stage.deploy()
    if stage.until(lambda: stage.dead or stage.all_new(old), RELOAD_PATIENCE) is None:
        stage.remarks.append("the good deploy did not replace all workers")
    # New workers are ready before the old ones have gone.
    stage.wait(1.0)
    stage.crowd.begin("mended")
    stage.wait(2.0)


def crash_storm(stage: Stage) -> None:
    """Kill a random worker again and again."""
    killed: list[int | None] = []
    stage.calm()
    stage.disrupt()
    stage.every(KILL_PERIOD, stage.pace.seconds, lambda: killed.append(stage.signal_one(signal.SIGKILL)))
    stage.wait(SETTLE)
    stage.figures["killed"] = sum(pid is not None for pid in killed)


def stuck(stage: Stage) -> None:
    """Ask for what takes longer than it may."""
    stage.calm()
    stage.disrupt()
    patience = STUCK_SECONDS + 5.0
    stage.asides.append(ask(stage.server.port, f"/stuck?seconds={STUCK_SECONDS}", patience))
    stage.wait(SETTLE)
    stage.figures["boot"] = stage.booted_in
    # As faulthandler and traceback write a frame: both name the function.
    stage.figures["stack logged"] = float("in stuck" in stage.log())


def poison(stage: Stage) -> None:
    """Ask for what kills the worker, again and again."""
    count = POISONINGS if stage.pace.seconds >= POISONINGS else max(2, int(stage.pace.seconds))
    stage.calm()
    stage.disrupt()
    with ThreadPoolExecutor() as pool:
        for _ in range(count):
            answer = pool.submit(ask, stage.server.port, "/segfault", POISON_PATIENCE)
            stage.wait(POISON_PERIOD)
            stage.asides.append(answer.result())
    stage.wait(SETTLE)
    reports = [line for line in stage.log().splitlines() if "/segfault" in line]
    stage.figures["reports"] = len(reports)


def recycle(stage: Stage) -> None:
    """Only ask: the workers have had enough after so many requests."""
    stage.calm()
    before = len(stage.booted())
    stage.disrupt()
    stage.wait(stage.pace.seconds)
    stage.figures["recycled"] = len(stage.booted()) - before


def skew(stage: Stage) -> None:
    """Deploy some times, each time until it is done; then see who does the work."""
    stage.calm()
    stage.crowd.begin("reloading")
    for _ in range(max(1, int(stage.pace.seconds / 6))):
        old = set(stage.workers())
        stage.deploy()
        if stage.until(lambda old=old: stage.dead or stage.all_new(old), RELOAD_PATIENCE) is None:  # type: ignore[misc]
            stage.remarks.append(f"a reload took more than {RELOAD_PATIENCE:.0f} s")
            break
        stage.wait(1.0)
    stage.disrupt()
    stage.wait(max(5.0, stage.pace.seconds / 6))
    stage.figures["workers"] = len(stage.workers())


def stopped(stage: Stage) -> None:
    """Stop a worker, as a debugger or a C call that never returns would."""
    stage.calm()
    stage.disrupt()
    known, began = set(stage.booted()), time.monotonic()
    pid = stage.signal_one(signal.SIGSTOP)
    window = max(STOPPED_LEAST, min(STOPPED_MOST, stage.pace.seconds))
    taken = stage.until(lambda: pid not in stage.workers() and bool(set(stage.booted()) - known), window)
    if taken is not None:
        stage.figures["replaced after"] = round(taken, 2)
    stage.wait(max(SETTLE, began + window / 2 - time.monotonic()))


SCENARIOS = (
    Scenario(
        "reload",
        "a deploy every 5 s, GET and POST",
        "0 failed, 0 dropped, none asked to close, 99.9th percentile at most twice the steady one, worst under 300 ms",
        reload,
        musts.reload,
        asking={"methods": ("GET", "POST")},
    ),
    Scenario(
        "bad-deploy",
        "a reload of code that raises at import, then a good one",
        "0 failed, the log tells, the old code serves; the next good reload works",
        bad_deploy,
        musts.bad_deploy,
    ),
    Scenario(
        "crash-storm-get",
        "kill -9 of a random worker every second, GET",
        "0 failed requests, 0 dropped connections",
        crash_storm,
        musts.storm_get,
    ),
    Scenario(
        "crash-storm-post",
        "kill -9 of a random worker every second, POST",
        "each failure is a 502, and no request ran twice",
        crash_storm,
        musts.storm_post,
        asking={"methods": ("POST",)},
    ),
    Scenario(
        "stuck-request",
        "one request of 12 s where 3 s are allowed",
        "504 within 3 s plus boot time plus 2 s, stack logged, nobody else fails",
        stuck,
        musts.stuck,
        Feature.REQUEST_TIMEOUT,
    ),
    Scenario(
        "poison-url",
        "a URL that segfaults, asked for 20 times",
        "20 answers 502, 0 innocent failures, the URL in every report",
        poison,
        musts.poison,
    ),
    Scenario(
        "recycle",
        "each worker replaced after 1000 requests or so",
        "0 failed, 0 dropped, worst under 300 ms",
        recycle,
        musts.recycle,
        Feature.RECYCLING,
        needed=True,
    ),
    Scenario(
        "skew",
        "requests per worker after 10 reloads",
        "largest at most 1.3 times the smallest",
        skew,
        musts.skew,
    ),
    Scenario(
        "stopped-worker",
        "SIGSTOP of a worker",
        "replaced within 6 s (heartbeat of 5 s and 1 s), its clients served",
        stopped,
        musts.stopped,
    ),
    Scenario(
        "overload",
        "10 times as many requests as can be served, for 20 s",
        "what is accepted takes at most 1.5 s, the rest gets 503, memory flat, recovered in 2 s",
        overload,
        musts.overload,
        Feature.QUEUE,
        # 64 a second, where 4 workers of 8 threads can do 160.
        asking={"pace": 1.0, "work": 200},
    ),
    Scenario(
        "graceful-term",
        "TERM with 64 busy clients",
        "every started request answered, exit 0, no process left",
        term,
        musts.term,
        ends=True,
        asking={"pace": 0.0, "work": 500},
    ),
)
