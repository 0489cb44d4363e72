"""The admin page in a real browser: it shows what happens, acts for authorized users, and survives its server."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.browser import Browser
from tests.integration.conftest import Start, put_probe
from tests.integration.gate import Gate
from tests.integration.harness import Server, wait_until
from tests.integration.load import Load

pytestmark = [pytest.mark.needs("chromium", "chromium"), pytest.mark.needs("chromedriver", "chromium-driver")]

#: A path of somebody who wants to write into the page, and its start as the page has to show it.
EVIL = """/wait/<script>window.evil=1</script>"'><img/src="x"onerror=window.evil=1>"""

LIVE = "document.body.dataset.link === 'live'"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests: it takes a second to start."""
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def site(folder: Path) -> Path:
    """The application, which waits at the gate for every path below /wait/."""
    end = """
_probe = app
def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/wait/"):
        environ["PATH_INFO"] = "/wait"
    return _probe(environ, start_response)
"""
    put_probe(folder, end=end)
    return folder


def show(browser: Browser, server: Server, query: str = "") -> None:
    """Open the page of a server, and wait for its first news."""
    browser.open(f"{page_of(server)}/{query}")
    browser.wait(f"{LIVE} && document.querySelector('#workers tbody tr') !== null")


def page_of(server: Server) -> str:
    """Where its admin page is."""
    return server.wait_for(r"admin endpoint on (http://.*)$")[0][1]


def number(browser: Browser, name: str) -> float:
    """One of the numbers at the top; 0 where it is not known yet."""
    text = browser.text(f"#{name}").replace(",", "")
    return float(text) if text[0].isdigit() else 0.0


def test_page_shows_what_happens(start: Start, site: Path, gate: Gate, browser: Browser) -> None:
    """Numbers move under load; what runs is shown as it is; a killed worker's row changes, and its end is shown."""
    server = start("app:app", "--workers", "2", "--admin", "127.0.0.1:0").ready(2)
    show(browser, server)
    assert browser.column("workers", "PID") == [str(pid) for pid in server.worker_pids]
    with server.connect() as client, Load(server.address, 4):
        client.ask(EVIL)
        visitor = gate.visitor("request")
        wait_until(lambda: number(browser, "rate") > 10, "requests per second")
        wait_until(lambda: f"GET {EVIL}" in browser.column("running", "Request"), "the request that runs")
        assert f"GET {EVIL}" in browser.column("oldest", "Last request")
        browser.wait("document.querySelectorAll('#chart-rate path')[0].getAttribute('d').length > 20")
        before = browser.column("workers", "Requests")
        wait_until(lambda: browser.column("workers", "Requests") != before, "more requests of the workers")
        visitor.release()
        assert client.response().status == 200
    os.kill(server.worker_pids[0], signal.SIGKILL)
    server.ready(3)
    wait_until(lambda: browser.column("workers", "Worker") == ["2", "3"], "the row of the new worker")
    browser.wait("document.querySelector('#ended summary') !== null")
    assert "worker 1" in browser.text("#ended summary")
    assert "SIGKILL" in browser.ask("document.querySelector('#ended pre').textContent")
    assert browser.ask("window.evil") is None
    assert browser.complaints() == []


def test_page_is_for_light_and_dark_and_phones(
    start: Start, site: Path, gate: Gate, browser: Browser
) -> None:
    """It follows what the device wants, and is never wider than 360 pixels, whatever it has to show."""
    server = start("app:app", "--admin", "127.0.0.1:0", "--admin-action-token", "act").ready()
    with server.connect() as client:
        client.ask("/wait/" + "long" * 25)
        visitor = gate.visitor("request")
        show(browser, server, "?token=act")
        browser.wait("document.querySelector('#running tbody tr') !== null")
        colours = set()
        for scheme in ("light", "dark"):
            for width in (360, 1280):
                with browser.looking(scheme, width):
                    assert browser.ask("innerWidth") == width
                    assert browser.ask("document.documentElement.scrollWidth") <= width
                    colours.add(browser.ask("getComputedStyle(document.body).backgroundColor"))
        assert len(colours) == 2
        visitor.release()
        client.response()
    assert browser.complaints() == []


def test_actions_need_the_token(start: Start, browser: Browser) -> None:
    """Read-only without it; with it there are buttons, which do what they say."""
    server = start("app:app", "--admin", "127.0.0.1:0", "--admin-action-token", "act").ready()
    show(browser, server)
    assert not browser.ask("document.querySelector('#actions').checkVisibility()")
    assert browser.ask("document.querySelectorAll('#workers button').length") == 0
    forbidden = "fetch('actions/reload', {method: 'POST', headers: {'X-Twistcorn': 'page'}}).then((a) => a.status)"
    assert browser.ask(forbidden) == 403
    assert len(browser.complaints()) == 1

    browser.click("#unlock")
    browser.wait("document.querySelector('#token') !== null")
    browser.ask("document.querySelector('#token').value = 'act'")
    browser.click("form button")
    browser.wait("document.querySelector('#workers tbody button') !== null")
    assert "token" not in browser.ask("location.href")
    browser.click("#more")
    server.ready(2)
    wait_until(lambda: browser.column("workers", "State") == ["ready", "ready"], "the second worker")
    browser.click("#reload")
    browser.wait("document.querySelector('#told').textContent === 'reloaded'")
    wait_until(lambda: browser.column("workers", "Generation") == ["2", "2"], "the new workers")
    browser.wait("document.querySelector('#reloads li') !== null")
    browser.click("#workers tbody button")
    wait_until(lambda: browser.column("workers", "Worker") == ["4", "5"], "the recycled worker's successor")
    assert browser.complaints() == []


def test_lost_connection_is_shown_and_recovers(start: Start, browser: Browser) -> None:
    """The page says that it is cut off from its server, and goes on with the next one at this address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start("app:app", "--admin", f"127.0.0.1:{port}").ready()
    show(browser, server)
    server.send(signal.SIGTERM)
    assert server.exit_code() == 0
    browser.wait("document.body.dataset.link === 'lost'")
    assert "lost" in browser.text("#link")

    server = start("app:app", "--admin", f"127.0.0.1:{port}").ready()
    browser.wait(LIVE)
    wait_until(lambda: browser.column("workers", "PID") == [str(server.worker_pids[0])], "the new server's worker")
