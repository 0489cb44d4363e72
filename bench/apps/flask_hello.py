"""The same short text through Flask's routing, request context and response.

Law: the only module that imports Flask.
"""

from __future__ import annotations

from flask import Flask, Response

app = Flask(__name__)


@app.get("/")
def hello() -> Response:
    """Answer ``GET /`` with the bytes of the plain application."""
    return Response("Hello, World!\n", mimetype="text/plain")
