"""What an application can find out about the server that it runs in: not the tokens of its admin page."""

from __future__ import annotations

from tests.hostile.conftest import Serve
from tests.integration.conftest import Start

CURIOUS = """
import gc, os
def app(environ, start_response):
    start_response("200 OK", [])
    found = dict(os.environ), open("/proc/self/environ").read()
    return [repr((found, [each for each in gc.get_objects() if type(each).__name__ == "Settings"])).encode()]
"""


def test_tokens_of_the_admin_page_are_not_in_a_worker(serve: Serve, start: Start) -> None:
    """Neither in its environment nor in the settings that it was sent."""
    serve(CURIOUS).ready()
    tokens = {"TWISTCORN_ADMIN_TOKEN": "read-4711", "TWISTCORN_ADMIN_ACTION_TOKEN": "act-4711", "OTHER": "stays"}
    seen = start("app:app", "--admin", "127.0.0.1:0", env=tokens).ready().get("/")
    assert "4711" not in seen
    assert "stays" in seen
