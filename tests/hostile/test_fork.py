"""Applications that fork without exec: a child is theirs, and never a second worker.

Law: what a child does is the source of its test; each test checks that answers are the parent's, and are one's own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.conftest import Serve
from tests.integration.harness import Server, wait_until

#: Whether calls run on the leader's own thread or on others.
MODES = [("--turns", "inline"), ("--turns", "pool"), ("--threads", "1")]
modes = pytest.mark.parametrize("mode", MODES, ids=" ".join)

#: `/do` forks as its test says; every answer names its request and its process, and knows who loaded the application.
FRAME = """
import multiprocessing, os, pty, signal, subprocess, sys, threading, time
LOADED_IN = os.getpid()

def do(environ, start_response):
{body}

def noted(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

def app(environ, start_response):
    if environ["PATH_INFO"] == "/do":
        made = do(environ, start_response)
        if made is not None:
            return made
    text = f"{{environ['QUERY_STRING']}} {{os.getpid() == LOADED_IN}}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
"""

CHILDREN = {
    "returns": "os.fork()",
    "returns a generator": """
if os.fork() == 0:
    start_response("200 OK", [])
    def body():
        noted("the child's generator ran")
        yield b"child"
    return body()
""",
    "raises": "if os.fork() == 0: raise ValueError('raised in the child')",
    "exits": "if os.fork() == 0: sys.exit(7)",
    "writes": """
if os.fork() == 0:
    write = start_response("200 OK", [("Content-Length", "5")])
    write(b"child")
""",
    "writes and swallows": """
if os.fork() == 0:
    for _ in range(3):
        try:
            start_response("200 OK", [("Content-Length", "5")])(b"child")
        except BaseException:
            pass
""",
    "extends its deadline": "if os.fork() == 0: environ['twistcorn.extend_deadline'](5)",
    "forks again": "os.fork() or os.fork()",
    "forkpty": "os.forkpty()",
    "pty.fork": "pty.fork()",
    "in a thread": """
thread = threading.Thread(target=os.fork)
thread.start()
thread.join()
""",
    "at a deeper level": """
def deep(n):
    return deep(n - 1) if n else os.fork()
deep(50)
""",
    "a process never joined": "multiprocessing.get_context('fork').Process(target=time.sleep, args=(0.01,)).start()",
    "a process that raises": """
process = multiprocessing.get_context('fork').Process(target=int, args=("no number",))
process.start()
process.join()
""",
}


def made(body: str) -> str:
    """An application with this in its view."""
    return FRAME.format(body="\n".join(f"    {line}" for line in body.strip().splitlines()))


def ask_all(server: Server, times: int = 20, target: str = "/do") -> None:
    """Ask on one connection and on new ones; every answer is the parent's, and to its own question."""
    with server.connect() as kept:
        for number in range(times):
            path = target if number % 2 else "/"
            answer = kept.get(f"{path}?kept{number}")
            assert (answer.status, answer.body) == (200, b"kept%d True" % number)
            assert server.get(f"{path}?new{number}") == f"new{number} True"


def descendants(pid: int) -> list[int]:
    """Children of a process that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(parent) == pid and state not in "ZX":
                found.append(int(entry.name))
    return found


@modes
@pytest.mark.parametrize("child", CHILDREN)
def test_child_ends_where_it_returns(serve: Serve, folder: Path, child: str, mode: tuple[str, str]) -> None:
    """It answers no client, no request is lost, and none of them stays; the worker is the same at the end."""
    server = serve(made(CHILDREN[child]), *mode, tracebacks=True).ready()
    (worker,) = server.worker_pids
    ask_all(server)
    wait_until(lambda: not descendants(worker), "the children have ended")
    assert server.worker_pids == [worker]
    assert not (folder / "notes").exists()


@pytest.mark.parametrize(
    ("child", "code"),
    [("pass", 0), ("sys.exit(7)", 7), ("sys.exit('why')", 1), ("sys.exit()", 0), ("raise ValueError('so')", 1)],
)
def test_code_of_the_child(serve: Serve, child: str, code: int) -> None:
    """It ends as any program would: 0, SystemExit's code, or 1 with the application's traceback alone."""
    body = f"""
pid = os.fork()
if not pid:
    {child}
else:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    start_response("200 OK", [])
    return [str(code).encode()]
"""
    server = serve(made(body), tracebacks=True).ready()
    assert server.get("/do") == str(code)
    if "raise" in child:
        server.wait_for("ValueError: so")
        assert not server.seen("twistcorn/worker")
    if "why" in child:
        server.wait_for("why")


def test_what_the_child_prints(serve: Serve) -> None:
    """All of it is there when the child has ended, also a line without an end."""
    server = serve(made("os.fork() or print('said by the child', end='')")).ready()
    server.get("/do")
    server.wait_for("said by the child")


def between_pieces(fork: str) -> str:
    """The body of an application that answers five pieces, and forks behind the second and the fourth."""
    return f"""
start_response("200 OK", [])
def pieces():
    for number in range(5):
        yield b"%d" % number
        if number in (1, 3):
            {fork}
return pieces()
"""


@modes
def test_child_goes_on_in_a_generator(serve: Serve, folder: Path, mode: tuple[str, str]) -> None:
    """A fork between two pieces: the client gets the parent's pieces, each once."""
    server = serve(made(between_pieces("os.fork()")), *mode).ready()
    (worker,) = server.worker_pids
    for _ in range(10):
        assert server.get("/do") == "01234"
    wait_until(lambda: not descendants(worker), "the children have ended")
    assert server.worker_pids == [worker]


def test_what_a_child_has_open(serve: Serve) -> None:
    """Nothing of ours: no socket, no epoll, no scoreboard; and what the application opened is there."""
    body = """
import socket
mine = socket.socketpair()[0]
read, write = os.pipe()
if not os.fork():
    numbers = [n for n in range(256) if os.path.lexists(f"/proc/self/fd/{n}")]
    here = [os.readlink(f"/proc/self/fd/{n}") for n in numbers]
    kinds = [f"socket:[{os.fstat(mine.fileno()).st_ino}]" in here, [k for k in here if "epoll" in k or "memfd" in k]]
    kinds.append([k for k in here if k.startswith("socket:")])
    kinds.append("scoreboard" in open("/proc/self/maps").read())
    kinds.append(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    kinds.append([n for n in (1, 2, 3, 10, 12, 15, 17) if signal.getsignal(n) is not signal.SIG_DFL])
    kinds.append(signal.set_wakeup_fd(-1))
    os.write(write, repr(kinds).encode())
    os._exit(0)
start_response("200 OK", [])
return [os.read(read, 4096)]
"""
    server = serve(made(body)).ready()
    with server.connect() as one, server.connect() as other:
        one.get("/")
        other.get("/")
        shown = server.get("/do")
    mine, ours, sockets, mapped, masked, handled, wakeup = eval(shown)
    assert mine
    assert ours == []
    assert len(sockets) == 1
    assert (mapped, masked, handled, wakeup) == (False, [], [], -1)


def test_connection_of_a_child_that_stays(serve: Serve) -> None:
    """A client sees the end of its connection although a child that was forked meanwhile lives on."""
    server = serve(made("if not os.fork():\n    signal.pause()")).ready()
    (worker,) = server.worker_pids
    with server.connect() as client, server.connect() as other:
        other.get("/")
        client.get("/do", "Connection: close\r\n")
        assert client.ended()
        (child,) = descendants(worker)
        other.get("/", "Connection: close\r\n")
        assert other.ended()
    os.kill(child, 15)
    wait_until(lambda: not descendants(worker), "TERM ends a child")


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "raise ValueError('at import')", "os._exit(3)"])
def test_fork_while_the_application_is_imported(serve: Serve, end: str) -> None:
    """The child ends there; one worker serves."""
    source = f"import os\nif not os.fork():\n    os.write(1, b'child here\\n')\n    {end or 'pass'}\n" + made("pass")
    server = serve(source, tracebacks=True).ready()
    server.wait_for("child here")
    ask_all(server, times=4)
    wait_until(lambda: not descendants(server.worker_pids[0]), "the child has ended")
    assert len(server.seen("is ready")) == 1


@modes
def test_pool_in_a_view(serve: Serve, mode: tuple[str, str]) -> None:
    """A pool works, and is ended with `with`, again and again."""
    body = """
with multiprocessing.get_context("fork").Pool(2) as pool:
    total = sum(pool.map(abs, range(-5, 0)))
start_response("200 OK", [])
return [str(total).encode()]
"""
    server = serve(made(body), *mode).ready()
    for _ in range(8):
        assert server.get("/do") == "15"
    wait_until(lambda: not descendants(server.worker_pids[0]), "the pools have ended")


@pytest.mark.slow
def test_three_hundred_pools(serve: Serve) -> None:
    """None hangs: a signal that comes while a child is forked ends it, and does not get lost in a handler of ours."""
    body = """
context = multiprocessing.get_context("fork")
for _ in range(10):
    pool = context.Pool(1)
    pool.terminate()
    pool.join()
"""
    server = serve(made(body)).ready()
    for number in range(30):
        assert server.get(f"/do?{number}") == f"{number} True"


PROGRAMS = {
    "subprocess": "out = subprocess.run(['sh', '-c', 'echo done'], capture_output=True).stdout",
    "preexec_fn": "out = subprocess.run(['sh', '-c', 'echo done'], capture_output=True, preexec_fn=os.setsid).stdout",
    "posix_spawn": """
read, write = os.pipe()
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "echo done"], os.environ,
                     file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
os.waitpid(pid, 0)
out = os.read(read, 100)
""",
    "fork and exec": """
read, write = os.pipe()
if not os.fork():
    os.dup2(write, 1)
    os.execvp("echo", ["echo", "done"])
os.wait()
out = os.read(read, 100)
""",
    "popen": "out = os.popen('echo done').read().encode()",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_work(serve: Serve, program: str) -> None:
    """What execs is what it always was."""
    server = serve(made(PROGRAMS[program] + "\nstart_response('200 OK', [])\nreturn [out]")).ready()
    for _ in range(5):
        assert server.get("/do") == "done\n"
    ask_all(server, times=4, target="/")


@pytest.mark.parametrize("name", ["INT", "HUP", "QUIT", "USR1", "USR2", "TERM", "WINCH", "CHLD"])
def test_programs_get_signals_as_they_expect(serve: Serve, name: str) -> None:
    """A program that the application starts ignores nothing and blocks nothing that its parent does."""
    body = f"""
out = subprocess.run(["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"], capture_output=True, text=True).stdout
bit = 1 << signal.SIG{name} - 1
start_response("200 OK", [])
return [str([int(line.split()[1], 16) & bit for line in out.splitlines()]).encode()]
"""
    assert serve(made(body)).ready().get("/do") == "[0, 0]"


def test_two_clients_through_one_worker_of_whom_one_forks(serve: Serve) -> None:
    """User B never gets user A's body, however many forks run at once."""
    server = serve(made("os.fork()"), "--workers", "2").ready(workers=2)
    wrong: list[str] = []

    def use(name: str) -> None:
        for number in range(60):
            got = server.get(f"/{'do' if name == 'a' else ''}?{name}{number}")
            if got != f"{name}{number} True":
                wrong.append(got)

    users = [threading.Thread(target=use, args=(name,)) for name in "abcd"]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert wrong == []


# Behind nginx

NGINX = shutil.which("nginx") or ""
CONFIGURATION = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    upstream server {{ server 127.0.0.1:{upstream}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;
        }}
    }}
}}
"""


@pytest.fixture
def behind_nginx(tmp_path: Path) -> Iterator[object]:
    """Puts nginx in front of a server, with connections that are kept; ends it with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def put(server: Server) -> tuple[str, int]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        file = tmp_path / "nginx.conf"
        file.write_text(CONFIGURATION.format(folder=tmp_path, upstream=server.address[1], port=port))
        command = [NGINX, "-p", str(tmp_path), "-c", str(file), "-e", str(tmp_path / "error.log")]
        running.append(subprocess.Popen(command))

        def up() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(up, "nginx listens")
        return "127.0.0.1", port

    yield put
    for process in running:
        process.terminate()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
@pytest.mark.parametrize("child", ["returns", "raises", "writes", "in a thread"])
def test_behind_a_proxy(serve: Serve, behind_nginx: object, child: str) -> None:
    """Hundreds of requests of eight users over nginx's few connections, half of them with a fork: all get their own."""
    server = serve(made(CHILDREN[child]), tracebacks=True).ready()
    address = behind_nginx(server)  # type: ignore[operator]
    wrong: list[object] = []

    def use(name: str) -> None:
        from tests.integration.client import Client

        with Client(address) as client:
            for number in range(50):
                path = "/do" if number % 2 else "/"
                answer = client.get(f"{path}?{name}{number}")
                if (answer.status, answer.body) != (200, f"{name}{number} True".encode()):
                    wrong.append((name, number, answer.status, answer.body))

    users = [threading.Thread(target=use, args=(name,)) for name in "abcdefgh"]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert wrong == []


@modes
def test_a_child_of_c_code_answers_nobody(serve: Serve, mode: tuple[str, str]) -> None:
    """No hook runs there, and it may wait for a lock for ever; the client gets the parent's pieces alone."""
    server = serve(made(between_pieces("__import__('ctypes').PyDLL(None).fork()")), *mode).ready()
    (worker,) = server.worker_pids
    for _ in range(10):
        assert server.get("/do") == "01234"
    assert server.worker_pids == [worker]
    for child in descendants(worker):
        # Such a child may live as long as its worker: docs/application.md.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
