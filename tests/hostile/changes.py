"""What applications do to the interpreter and the process that they share with the server, by name.

Law: source text only, of what libraries, frameworks and daemonizing code really do, or of its neighbour. Each is the
body of a function, called at import, in a view and in a thread; what only the main thread may do, and says so with a
ValueError, is left out elsewhere.
"""

from __future__ import annotations

import textwrap

#: What lives in the kernel's process.
PROCESS = {
    "umask": "import os; os.umask(0o777)",
    "directory": "import os; os.chdir('/')",
    "removed directory": """
        import os, tempfile
        here = tempfile.mkdtemp(); os.chdir(here); os.rmdir(here)
    """,
    "environ": "import os; os.environ.clear()",
    "time zone": "import os, time; os.environ['TZ'] = 'Asia/Kathmandu'; time.tzset()",
    "stdin closed": "import sys; sys.stdin.close()",
    "standard descriptors closed": "import os; os.closerange(0, 3)",
    "stderr's descriptor is a file": """
        import os, tempfile
        number, _ = tempfile.mkstemp(dir="."); os.dup2(number, 1); os.dup2(number, 2)
    """,
    "number of files": """
        import os, resource
        most = max(map(int, os.listdir("/proc/self/fd"))) + 40
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    """,
    "memory": """
        import resource
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            resource.setrlimit(limit, (used + (256 << 20), resource.getrlimit(limit)[1]))
    """,
    "stack": "import resource; resource.setrlimit(resource.RLIMIT_STACK, (1 << 18, resource.RLIM_INFINITY))",
    "other limits": """
        import resource
        for name in ("CORE", "MEMLOCK", "MSGQUEUE", "SIGPENDING", "NICE", "RTPRIO"):
            limit = getattr(resource, f"RLIMIT_{name}")
            resource.setrlimit(limit, (0, resource.getrlimit(limit)[1]))
    """,
}
#: Signals, timers and what answers them.
SIGNALS = {
    "handlers that raise": """
        import os, signal
        def mine(number, frame):
            if not _is_mine(frame): raise RuntimeError("the application's own handler")
        for number in "HUP INT QUIT USR1 USR2 CHLD PIPE WINCH ALRM TERM".split():
            try: signal.signal(getattr(signal, f"SIG{number}"), mine)
            except ValueError: pass
            else:
                if number not in ("TERM", "QUIT"):
                    _threading.Timer(0.3, os.kill, (os.getpid(), getattr(signal, f"SIG{number}"))).start()
    """,
    "alarm that raises": """
        import signal
        def late(number, frame):
            if not _is_mine(frame): raise TimeoutError("the application's own alarm")
        try: signal.signal(signal.SIGALRM, late)
        except ValueError: pass
        else: signal.setitimer(signal.ITIMER_REAL, 0.2, 0.003)
    """,
    "alarm that exits": """
        import signal, sys
        def late(number, frame):
            if not _is_mine(frame): sys.exit("the application's own alarm")
        try: signal.signal(signal.SIGALRM, late)
        except ValueError: pass
        else: signal.setitimer(signal.ITIMER_REAL, 0.2, 0.003)
    """,
    "signals blocked": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "wakeup descriptor": """
        import os, signal
        reader, writer = os.pipe2(os.O_NONBLOCK)
        try: signal.set_wakeup_fd(writer)
        except ValueError: pass
    """,
    "signals to be ignored": """
        import signal
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPIPE):
            try: signal.signal(number, signal.SIG_IGN)
            except ValueError: pass
    """,
    "faulthandler": "import faulthandler; faulthandler.disable(); faulthandler.cancel_dump_traceback_later()",
    "faulthandler elsewhere": """
        import faulthandler, tempfile
        file = tempfile.TemporaryFile(); faulthandler.enable(file); faulthandler.dump_traceback_later(0.1, True, file)
    """,
    "an alarm in the thread": "import _thread; _thread.interrupt_main()",
}
#: The interpreter.
INTERPRETER = {
    "recursion limit": "import sys; sys.setrecursionlimit(80)",
    "switch interval": "import sys; sys.setswitchinterval(30)",
    "least switch interval": "import sys; sys.setswitchinterval(1e-6)",
    "hooks": "import sys, threading; sys.excepthook = threading.excepthook = sys.unraisablehook = lambda *_: 1 / 0",
    "settrace": "import sys, threading; f = lambda *_: None; sys.settrace(f); threading.settrace(f)",
    "setprofile": "import sys, threading; f = lambda *_: None; sys.setprofile(f); threading.setprofile(f)",
    "gc": "import gc; gc.disable(); gc.set_threshold(0); gc.freeze()",
    "exit": "import sys; sys.exit = None",
    "builtins": """
        import builtins
        def no_files(*_, **__): raise RuntimeError("the application's own")
        for name in ("open", "print", "input", "exit", "quit", "help", "breakpoint"): setattr(builtins, name, no_files)
        builtins._ = str
    """,
    "functions of sys": """
        import sys
        def mine(*_): raise RuntimeError("the application's own")
        for name in ("_current_frames", "getrecursionlimit", "setrecursionlimit", "getswitchinterval", "exit",
                     "setswitchinterval"): setattr(sys, name, mine)
    """,
    "codecs": """
        import codecs
        def mine(*_, **__): raise LookupError("the application's own")
        codecs.register(mine)
        codecs.lookup = codecs.getwriter = codecs.open = mine
    """,
}
#: Imports.
IMPORTS = {
    "import hook": """
        import sys
        class Hook:
            def find_spec(self, *_): raise RuntimeError("no more imports")
        sys.meta_path.insert(0, Hook())
    """,
    "import": """
        import builtins, sys
        genuine = builtins.__import__
        def mine(name, *arguments, **more):
            if name.partition(".")[0] not in sys.modules: raise ImportError("the application's own")
            return genuine(name, *arguments, **more)
        builtins.__import__ = mine
    """,
    "path": "import sys; sys.path.clear(); sys.path_importer_cache.clear()",
    "modules": """
        import sys
        for name in list(sys.modules):
            if name.partition(".")[0] in ("twisted", "twistcorn", "zope", "json", "traceback", "linecache", "tempfile",
               "socket", "time", "threading", "logging", "select", "io", "stat"): sys.modules.pop(name)
    """,
    "modules anew": """
        import importlib, logging, os, select, signal, socket, time
        for module in (socket, select, os, signal, time, logging): importlib.reload(module)
    """,
}
#: Names in modules that others use.
MODULES = {
    "default time-out": "import socket; socket.setdefaulttimeout(0.3)",
    "socket class": """
        import socket
        class Proxied(socket.socket):
            def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
                if type not in (-1, socket.SOCK_STREAM): raise OSError("not supported by the proxy")
                super().__init__(family, type, proto, fileno)
        socket.socket = socket._socketobject = Proxied
        socket.create_connection = socket.getaddrinfo = None
    """,
    "epoll": "import select, selectors; del select.epoll; selectors.DefaultSelector = selectors.SelectSelector",
    "functions of os": """
        import os
        def mine(*_, **__): raise OSError("the application's own")
        for name in ("read", "write", "close", "pread", "fstat", "kill", "getpid", "pipe", "stat"):
            setattr(os, name, mine)
    """,
    "clock stands still": """
        import sys, time
        names = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "thread_time_ns")
        real = {id(getattr(time, name)): (lambda *_: 0) for name in names}
        for module in list(sys.modules.values()):
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if id(value) in real and module.__name__ != "threading": setattr(module, name, real[id(value)])
    """,
    "clock runs backwards": """
        import itertools, time
        for name in ("time", "monotonic", "perf_counter"):
            count = itertools.count(getattr(time, name)(), -60)
            setattr(time, name, lambda count=count: next(count))
        for name in ("time_ns", "monotonic_ns", "perf_counter_ns"):
            count = itertools.count(getattr(time, name)(), -60_000_000_000)
            setattr(time, name, lambda count=count: next(count))
    """,
    "calendar": """
        import time
        def mine(*_): raise TypeError("the application's own")
        time.gmtime = time.localtime = time.strftime = time.sleep = mine
    """,
    "threads' start": """
        import threading
        def mine(*_, **__): raise TypeError("the application's own")
        threading.Thread.start = threading.Thread.run = threading.Thread.join = mine
    """,
    "threads' making": """
        import threading
        def mine(*_, **__): raise TypeError("the application's own")
        threading.Thread.__init__ = threading.Thread._bootstrap = threading.Thread.is_alive = mine
    """,
    "locks": """
        import queue, threading
        def mine(*_, **__): raise TypeError("the application's own")
        for name in ("Lock", "RLock", "Condition", "Event", "Thread", "get_native_id", "enumerate"):
            setattr(threading, name, mine)
        queue.Queue = queue.SimpleQueue = mine
    """,
    "a hundred threads": """
        import threading
        for _ in range(100): threading.Thread(target=threading.Event().wait, daemon=True).start()
    """,
    "json": """
        import json
        def mine(*_, **__): raise TypeError("the application's own")
        json.dumps = json.loads = json.encoder.JSONEncoder.default = mine
        json.JSONEncoder = json._default_encoder = None
    """,
    "temporary files": """
        import tempfile
        def mine(*_, **__): raise TypeError("the application's own")
        tempfile.tempdir = "/nowhere/at/all"
        tempfile.TemporaryFile = tempfile.mkstemp = tempfile.gettempdir = mine
    """,
    "traceback": """
        import linecache, traceback
        def mine(*_, **__): raise TypeError("the application's own")
        traceback.format_exception = traceback.print_exception = traceback.format_stack = linecache.getline = mine
    """,
}
#: Output, logging, event loops.
OUTPUT = {
    "stdout closed": "import sys; sys.stdout.close(); sys.stderr.close()",
    "stdout detached": "import sys; sys.stdout.detach(); sys.stderr.detach()",
    "stdout replaced": "import sys; sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None",
    "logging": "import logging; logging.disable(logging.CRITICAL); logging.captureWarnings(True); logging.shutdown()",
    "logging's manager": """
        import logging
        logging.Logger.manager = logging.root = logging.getLogger = None
        logging.Logger.handle = logging.Handler.emit = lambda *_: 1 / 0
    """,
    "warnings as errors": "import warnings; warnings.simplefilter('error')",
    "warnings": "import warnings; warnings.warn = warnings.showwarning = lambda *_, **__: 1 / 0",
    "an event loop that runs": """
        import asyncio
        asyncio.events._set_running_loop(asyncio.new_event_loop())
    """,
    "an event loop in a thread": """
        import asyncio
        loop = asyncio.new_event_loop()
        _Thread(target=loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
    """,
}  # fmt: skip

CHANGES = {
    name: textwrap.dedent(source).strip()
    for group in (PROCESS, SIGNALS, INTERPRETER, IMPORTS, MODULES, OUTPUT)
    for name, source in group.items()
}
