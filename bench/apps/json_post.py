"""An order comes as JSON, a receipt goes as JSON.

Law: standard library only; reads exactly the body it is told of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Read the body, parse it, add up, answer."""
    order = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    total = sum(item["price"] * item["count"] for item in order["items"])
    receipt = json.dumps({"name": order["name"], "items": len(order["items"]), "total": total}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(receipt)))])
    return [receipt]
