"""What a server answers, as the tests of the console see it: plain values, as docs/control.md describes them."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]


def doing(request: str = "GET /", age: float = 0.5) -> JSON:
    """A request that runs."""
    return {"request": request, "age": age, "slot": 0}


def worker(ident: int, *running: JSON, **more: Any) -> JSON:
    """A worker that is ready."""
    return {
        "worker": ident, "pid": 1000 + ident, "generation": 1, "state": "ready", "outdated": "", "age": 60.0 * ident,
        "busy": len(running), "threads": 8, "connections": 2, "requests": 100, "rss": ident << 20,
        "doing": list(running), **more,
    }  # fmt: skip


def status(**more: Any) -> JSON:
    """A server of three workers."""
    return {
        "version": "1.2", "pid": 77, "state": "serving", "time": 1000.0, "uptime": 200.0, "app": "shop:app",
        "listeners": ["http://127.0.0.1:8000"], "generation": 1,
        "workers": {"target": 3, "starting": 0, "ready": 3, "draining": 0, "stopping": 0, "waiting": 0, "gone": 0},
        "threads": 24, "busy": 6, "queue": 1, "memory": 180 << 20,
        "requests": {"seconds": 10.0, "rate": 200.0, "errors": 0.5, "p50": 0.001, "p95": 0.02, "p99": 0.034},
        "connections": 12, "waiting": 1, "parked": 4, "ending": 0,
        "lag": {"last": 0.001, "worst": 0.02}, "reload": {"running": False, "last": None},
        "recycling_paused": False, "quarantine": {}, **more,
    }  # fmt: skip


def ended(cause: str = "fault", text: str = "worker 9 (pid 9) died: SIGSEGV", at: float = 900.0) -> JSON:
    """A worker that is no more."""
    return {"at": at, "worker": 9, "pid": 9, "generation": 1, "cause": cause, "text": text}


def snapshot(*workers: JSON, deaths: tuple[JSON, ...] = (), **more: Any) -> JSON:
    """All that a live view shows."""
    shown = workers or (worker(1), worker(2), worker(3))
    return {"status": status(**more), "workers": list(shown), "ended": list(deaths), "reloads": []}
