"""What ends the program before it serves: a taken address, a wrong option; with one line and an exit code."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Start

run_and_twist = pytest.mark.parametrize("front", ["run", "twist"])


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


@run_and_twist
def test_address_in_use_is_one_line_and_1(start: Start, taken: int, front: str) -> None:
    """A taken address ends the program with 1 and one line that names it."""
    server = start("--app", "app:app", "--listen", f"127.0.0.1:{taken}", front=front, listen=())
    assert server.exit_code() == 1
    assert server.errors == [
        f"twistcorn: cannot listen on tcp:{taken}:interface=127.0.0.1: Address already in use"
    ]


def test_address_in_use_ends_twistd_with_1(start: Start, taken: int) -> None:
    """Under twistd too."""
    server = start("--app", "app:app", "--listen", f"127.0.0.1:{taken}", front="twistd", listen=())
    assert server.exit_code() == 1
    server.wait_for(
        rf"twistcorn: cannot listen on tcp:{taken}:interface=127\.0\.0\.1: Address already in use$"
    )


def test_second_of_two_addresses_in_use_leaves_nothing_of_the_first(
    start: Start, taken: int, tmp_path: Path
) -> None:
    """When one of several addresses is taken, nothing is served, and the socket file of another one is gone."""
    path = tmp_path / "http.sock"
    server = start("app:app", "--listen", f"unix:{path}", "--listen", f"127.0.0.1:{taken}", listen=())
    assert server.exit_code() == 1
    assert [line for line in server.errors if line.startswith("twistcorn: ")] == [
        f"twistcorn: cannot listen on tcp:{taken}:interface=127.0.0.1: Address already in use"
    ]
    assert not path.exists()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param("no-such-host.invalid:8000", "cannot listen on tcp:8000", id="unknown host"),
        pytest.param("192.0.2.1:8000", "Cannot assign requested address", id="foreign address"),
        pytest.param("unix:missing/http.sock", "No such file or directory", id="missing folder"),
        pytest.param("systemd:domain=INET:index=0", "systemd passed no such socket", id="no socket passed"),
        pytest.param("tcp:notaport", "cannot listen on tcp:notaport", id="malformed endpoint"),
    ],
)
def test_impossible_address_is_one_line_and_1(start: Start, given: str, reason: str) -> None:
    """An address that cannot be listened on ends the program with 1 and one line that says why."""
    server = start("app:app", "--listen", given, listen=())
    assert server.exit_code() == 1
    assert len(server.errors) == 1
    assert server.errors[0].startswith("twistcorn: cannot listen on ")
    assert reason in server.errors[0]


USAGE = [
    pytest.param(["--threads", "0"], ["--threads", "'0'", "from 1 to 1024"], id="threads"),
    pytest.param(["--workers", "many"], ["--workers", "'many'", "auto", "from 1 to"], id="workers"),
    pytest.param(["--listen", "nowhere"], ["--listen", "'nowhere'", "unix:/path"], id="listen"),
    pytest.param(["--keep-alive", "soon"], ["--keep-alive", "'soon'", "30s"], id="duration"),
    pytest.param(["--limit-request-body", "big"], ["--limit-request-body", "'big'", "512MB"], id="size"),
    pytest.param(["--script-name", "shop"], ["--script-name", "'shop'", "/shop"], id="prefix"),
    pytest.param(["--wrokers", "4"], ["--wrokers"], id="unknown option"),
]


@pytest.mark.parametrize(("arguments", "named"), USAGE)
def test_wrong_usage_is_64_and_names_what_is_allowed(
    start: Start, arguments: list[str], named: list[str]
) -> None:
    """A value that is not allowed ends the program with 64, and names the option, the value and what is allowed."""
    server = start("--app", "app:app", *arguments)
    assert server.exit_code() == 64
    assert all(word in server.log for word in named), server.log


@pytest.mark.parametrize("front", ["twist", "twistd"])
@pytest.mark.parametrize(("arguments", "named"), [USAGE[0], USAGE[-1]])
def test_wrong_usage_of_twist_is_told_in_the_same_words(
    start: Start, front: str, arguments: list[str], named: list[str]
) -> None:
    """`twist` ends with 64 too, `twistd` with its own code, and both with the same message and no traceback."""
    server = start("--app", "app:app", *arguments, front=front)
    assert server.exit_code() == (64 if front == "twist" else 1)
    assert all(word in server.log for word in named), server.log


@pytest.mark.parametrize("front", ["twist", "twistd"])
def test_help_of_twist_lists_every_option(start: Start, front: str) -> None:
    """`twist twistcorn --help` shows the table of options."""
    server = start("--help", front=front)
    assert server.exit_code() == 0
    for word in ("--app APP", "--bind, --listen ADDRESS", "--workers N", "--graceful-timeout TIME", "Time-outs:"):
        assert word in server.log


@run_and_twist
def test_wrong_value_in_the_environment_is_64_and_names_the_variable(start: Start, front: str) -> None:
    """The variable is named as the operator knows it."""
    server = start("--app", "app:app", front=front, env={"WEB_CONCURRENCY": "lots"})
    assert server.exit_code() == 64
    assert "invalid value 'lots' for WEB_CONCURRENCY: expected auto or a whole number" in server.log


def test_log_file_that_cannot_be_opened_is_64(start: Start) -> None:
    """--log-file in a missing directory is an error before anything starts."""
    server = start("app:app", "--log-file", "missing/log")
    assert server.exit_code() == 64
    assert server.errors == ["twistcorn: --log-file missing/log: No such file or directory"]


def test_socket_of_a_killed_master_is_replaced(start: Start, tmp_path: Path) -> None:
    """A UNIX socket that nobody answers on any more is removed, and the new server listens in its place."""
    path = tmp_path / "http.sock"
    first = start("app:app", listen=("--listen", f"unix:{path}")).ready()
    first.send(signal.SIGKILL)
    assert first.exit_code() == -signal.SIGKILL
    assert path.is_socket()
    second = start("app:app", listen=("--listen", f"unix:{path}")).ready()
    assert int(second.get("/pid")) in second.worker_pids


@run_and_twist
def test_socket_that_answers_is_an_address_in_use(start: Start, tmp_path: Path, front: str) -> None:
    """A UNIX socket of a running server is left alone."""
    path = tmp_path / "http.sock"
    first = start("app:app", listen=("--listen", f"unix:{path}")).ready()
    second = start("--app", "app:app", front=front, listen=("--listen", f"unix:{path}"))
    assert second.exit_code() == 1
    assert second.errors == [f"twistcorn: cannot listen on unix:{path}: Address already in use"]
    assert int(first.get("/pid")) in first.worker_pids


def test_file_in_the_way_of_a_socket_is_not_touched(start: Start, tmp_path: Path) -> None:
    """Something else under the name of the socket is never removed."""
    path = tmp_path / "http.sock"
    path.write_text("precious")
    server = start("app:app", listen=("--listen", f"unix:{path}"))
    assert server.exit_code() == 1
    assert server.errors == [
        f"twistcorn: cannot listen on unix:{path}: the path exists and is not a socket"
    ]
    assert path.read_text() == "precious"
