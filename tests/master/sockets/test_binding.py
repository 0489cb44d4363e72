"""The claims of twistcorn.master.sockets.listener about binding: endpoint strings, addresses that are taken,
stale sockets.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.master.fake_sockets import Place
from twistcorn.errors import EXIT_ADDRESS, AddressError
from twistcorn.syntax import endpoint

if TYPE_CHECKING:
    from pathlib import Path


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def lacks_ipv6() -> bool:
    """Whether this machine has no address to listen on for IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return True
    return False


class TestAddresses:
    def test_tcp(self, place: Place) -> None:
        """Host and port are as workers and operators need them."""
        port = free_port()
        listener = place.bind(f"tcp:{port}:interface=127.0.0.1")

        assert listener.address == (socket.AF_INET, "127.0.0.1", port)
        assert listener.shown == f"http://127.0.0.1:{port}"

    def test_any_port(self, place: Place) -> None:
        """Port 0 is replaced by the one that the system chose."""
        listener = place.bind("tcp:0:interface=127.0.0.1")

        assert listener.address[2] == listener.sock.getsockname()[1] != 0

    def test_all_interfaces(self, place: Place) -> None:
        """An endpoint without an interface listens on all of IPv4."""
        assert place.bind("tcp:0").address[1] == "0.0.0.0"

    @pytest.mark.skipif(lacks_ipv6(), reason="this machine has no IPv6")
    def test_tcp6(self, place: Place) -> None:
        """An IPv6 address is shown in brackets."""
        listener = place.bind(endpoint("[::1]:0"))

        assert listener.address[:2] == (socket.AF_INET6, "::1")
        assert listener.shown == f"http://[::1]:{listener.address[2]}"

    def test_unix(self, place: Place, tmp_path: Path) -> None:
        """A path, and no port."""
        listener = place.bind(endpoint(f"unix:{tmp_path}/http.sock"))

        assert listener.address == (socket.AF_UNIX, f"{tmp_path}/http.sock", 0)
        assert listener.shown == f"unix:{tmp_path}/http.sock"

    def test_unix_with_a_mode(self, place: Place, tmp_path: Path) -> None:
        """The endpoint's own options count."""
        place.bind(endpoint(f"unix:{tmp_path}/http.sock:mode=600"))

        assert os.stat(tmp_path / "http.sock").st_mode & 0o777 == 0o600

    def test_not_bound_yet(self, place: Place) -> None:
        """It has no descriptor that a reactor could watch."""
        assert place.make("tcp:0").fileno() == -1


class TestBacklog:
    @pytest.mark.parametrize(("description", "expected"), [("tcp:0", 77), ("tcp:0:backlog=5", 77)])
    def test_length(self, place: Place, description: str, expected: int) -> None:
        """The kernel queues as many connections as the setting says."""
        lengths: list[int] = []
        listener = place.make(f"{description}:interface=127.0.0.1")
        listen = socket.socket.listen

        def note(sock: socket.socket, length: int) -> None:
            lengths.append(length)
            listen(sock, length)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket.socket, "listen", note)
            listener.bind(expected)

        assert lengths[-1] == expected


class TestRefused:
    def test_address_is_in_use(self, place: Place) -> None:
        """The error names the address, and carries the exit code of a taken one."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            description = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            with pytest.raises(AddressError) as raised:
                place.bind(description)

        assert str(raised.value) == f"cannot listen on {description}: Address already in use"
        assert raised.value.exit_code == EXIT_ADDRESS

    @pytest.mark.parametrize(
        ("description", "reason"),
        [
            ("tcp:0:interface=203.0.113.7", "Cannot assign requested address"),
            ("tcp:nonsense", "nonsense"),
            ("tcp:0:colour=red", "colour"),
            ("systemd:domain=INET:index=7", "systemd passed no such socket (LISTEN_FDS, LISTEN_FDNAMES)"),
            ("unix:/nonexistent/folder/http.sock", "/nonexistent/folder: No such file or directory"),
        ],
    )
    def test_address_is_impossible(self, place: Place, description: str, reason: str) -> None:
        """Whatever is wrong with it, the message names the address and the reason."""
        with pytest.raises(AddressError) as raised:
            place.bind(description)

        assert str(raised.value).startswith(f"cannot listen on {description}: ")
        assert reason in str(raised.value)

    def test_lock_is_not_shown(self, place: Place) -> None:
        """The message has the address as the operator wrote it."""
        with pytest.raises(AddressError, match=r"^cannot listen on unix:/nonexistent/http\.sock: "):
            place.bind(endpoint("unix:/nonexistent/http.sock"))


class TestSocketFile:
    def test_killed_server_left_it(self, place: Place, tmp_path: Path) -> None:
        """Nobody answers: it is replaced."""
        path = tmp_path / "http.sock"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
            stale.listen()
        listener = place.listen(endpoint(f"unix:{path}"))
        place.connect(listener, 1)
        place.reactor.turn()

        assert [len(batch) for batch in place.batches] == [1]

    def test_live_server_has_it(self, place: Place, tmp_path: Path) -> None:
        """Somebody answers: the address is in use, and stays theirs."""
        path = tmp_path / "http.sock"
        with socket.socket(socket.AF_UNIX) as live, socket.socket(socket.AF_UNIX) as client:
            live.bind(str(path))
            live.listen()
            with pytest.raises(AddressError, match="Address already in use"):
                place.bind(endpoint(f"unix:{path}"))

            client.connect(str(path))

    def test_live_server_is_busy(self, place: Place, tmp_path: Path) -> None:
        """A server whose queue is full is live as well."""
        path = tmp_path / "http.sock"
        with socket.socket(socket.AF_UNIX) as live, socket.socket(socket.AF_UNIX) as client:
            live.bind(str(path))
            live.listen(0)
            client.connect(str(path))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("twistcorn.master.sockets.binding.PROBE_SECONDS", 0.01)
                with pytest.raises(AddressError, match="Address already in use"):
                    place.bind(endpoint(f"unix:{path}"))

        assert path.is_socket()

    def test_it_is_an_ordinary_file(self, place: Place, tmp_path: Path) -> None:
        """Nothing of the operator's is removed."""
        path = tmp_path / "http.sock"
        path.write_text("precious")
        with pytest.raises(AddressError, match="the path exists and is not a socket"):
            place.bind(endpoint(f"unix:{path}"))

        assert path.read_text() == "precious"

    def test_process_ends_in_the_middle(self, place: Place, tmp_path: Path) -> None:
        """Its file can be removed without closing anything."""
        path = tmp_path / "http.sock"
        listener = place.bind(endpoint(f"unix:{path}"))
        listener.abandon()
        listener.abandon()

        assert not path.exists()

    def test_tcp_leaves_no_file(self, place: Place) -> None:
        """There is nothing to remove."""
        place.bind("tcp:0:interface=127.0.0.1").abandon()
