"""Chunked requests to frameworks that read as much as CONTENT_LENGTH says."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Serve
from tests.integration.harness import Server

#: Applications that answer with the body they were given.
PLAIN = """
def app(environ, start_response):
    start_response("200 OK", [])
    length = environ.get("CONTENT_LENGTH", "none")
    coding = environ.get("HTTP_TRANSFER_ENCODING", "none")
    return [f"{length} {coding} ".encode(), environ["wsgi.input"].read(int(length))]
"""
FLASK = """
import flask
app = flask.Flask("a")

@app.post("/")
def whole():
    length = flask.request.content_length
    return f"{length} none ".encode() + flask.request.get_data()
"""
DJANGO = """
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DATA_UPLOAD_MAX_MEMORY_SIZE=None)
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

def whole(request):
    return HttpResponse(request.headers["Content-Length"].encode() + b" none " + request.body)

urlpatterns = [path("", whole)]
app = get_wsgi_application()
"""


def post(server: Server, *chunks: bytes, whole: bool = True) -> bytes:
    """The answer to a chunked POST.

    :param whole: whether all of it is sent at once; otherwise the head goes first.
    """
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    with server.connect() as client:
        if whole:
            client.send(head + body)
        else:
            client.send(head)
            client.send(body)
        answer = client.response()
    assert answer.status == 200, answer.body
    return answer.body


@pytest.mark.parametrize("source", [PLAIN, FLASK, DJANGO], ids=["plain", "flask", "django"])
def test_a_framework_is_told_the_length_of_a_chunked_body(serve: Serve, source: str) -> None:
    """It gets CONTENT_LENGTH and the body, wherever that was kept, and no coding."""
    server = serve(source).ready()

    assert post(server, b"hello", b" you") == b"9 none hello you"
    assert post(server, b"hello", whole=False) == b"5 none hello"
    assert post(server) == b"0 none "
    large = b"x" * 700_000
    assert post(server, large, large, whole=False) == b"1400000 none " + large + large
