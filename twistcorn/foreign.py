"""The options of other servers: which one serves here instead, or why there is none.

Law: declares. An answer that names an option or a command names one that exists, which a test holds.
"""

from __future__ import annotations

from typing import NamedTuple

GUNICORN, UWSGI, GRANIAN, UVICORN, HYPERCORN, WAITRESS = (
    "gunicorn", "uWSGI", "granian", "uvicorn", "hypercorn", "waitress",
)  # fmt: skip


class Foreign(NamedTuple):
    """What is known of another server's option.

    :ivar servers: which ones have it.
    :ivar answer: what to do here, as the second half of a sentence.
    """

    servers: str
    answer: str


_TLS = "there is no TLS; terminate it in a proxy such as nginx (see --forwarded-allow-ips)"
_HTTP_2 = "there is no HTTP/2; let a proxy such as nginx speak it to clients"
_ASGI = "not needed; twistcorn serves WSGI only"
_WEBSOCKETS = "there are no WebSockets; WSGI has none"
_SUPERVISOR = "not supported; let systemd or another supervisor do it"
_USER = "not supported; start twistcorn as that user (systemd: User=, Group=)"
_WATCH = "there is no file watcher; run `twistcorn reload` after a change"
_DIRTY = "not supported; use a task queue such as Celery"
_STATIC = "there is no static file server; use nginx, or WhiteNoise in the app"
_STRICT = "not supported; the HTTP parser is always strict"
_SYSLOG = "the log goes to standard error (journald) or to --log-file"
_LOGGING = "use --log-level and --log-format; the app configures its own logging"
_ALWAYS = "not needed; that is always so"
_HEADERS = "not supported; set headers in the app or in the proxy"
_PROCESS_NAME = "not supported"
_APP_SERVER_ONLY = "not supported; twistcorn serves one WSGI app and nothing else"

#: Names, in one text; servers; answer.
_ROWS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # What to serve.
    ("--module --wsgi --wsgi-file --file", (UWSGI,), "use --app module:name"),
    ("--wsgi-app", (GUNICORN,), "use --app"),
    ("--callable", (UWSGI,), "use --app module:name"),
    ("--call --factory --no-factory", (UVICORN, GRANIAN, WAITRESS), "use --app 'module:factory()'"),
    ("--mount --manage-script-name", (UWSGI,), "use --script-name"),
    ("--root-path --url-path-prefix --url-prefix", (GUNICORN, UVICORN, GRANIAN, HYPERCORN, WAITRESS),
     "use --script-name"),
    ("--app-dir --working-dir", (UVICORN, GRANIAN), "use --chdir"),
    ("--chdir2", (UWSGI,), "use --chdir"),
    ("--pp --python-path", (UWSGI,), "use --pythonpath"),
    ("--home --virtualenv --venv -H", (UWSGI,), "run the twistcorn of that environment, /path/to/venv/bin/twistcorn"),
    ("--interface", (UVICORN, GRANIAN), _ASGI),
    ("--lifespan --asgi-loop --asgi-lifespan --asgi-disconnect-grace-period --reset-contextvars", (GUNICORN, UVICORN),
     _ASGI),
    ("--paste --paster --paste-global", (GUNICORN,), "use --app with a factory that loads the .ini file"),
    ("--env --env-file --env-files -e", (GUNICORN, UVICORN, GRANIAN, UWSGI),
     "not supported; set the environment before the start (systemd: Environment=, EnvironmentFile=)"),
    ("--need-app", (UWSGI,), _ALWAYS),
    ("--pyhome", (UWSGI,), "run the twistcorn of that environment, /path/to/venv/bin/twistcorn"),
    ("--version -v", (GUNICORN, UVICORN, GRANIAN), "use `twistcorn --version`"),
    ("--single-interpreter --strict --enable-threads -T", (UWSGI,), _ALWAYS),
    ("--plugin --plugins", (UWSGI,), "not needed; there are no plugins"),
    ("--ini --yaml --xml --json", (UWSGI,), "use --config FILE with lines of name = value"),
    ("--check-config", (GUNICORN,), "not supported; a start refuses a wrong setting with exit code 64"),
    ("--print-config --show-config", (GUNICORN, UWSGI), "use `twistcorn get` while the server runs"),
    # Where to listen.
    ("--host --port --http-socket", (UVICORN, GRANIAN, WAITRESS, UWSGI), "use --listen HOST:PORT"),
    ("--http", (UWSGI, UVICORN, GRANIAN), "use --listen HOST:PORT; twistcorn speaks HTTP/1.1"),
    ("--uds --unix-socket", (UVICORN, GRANIAN, WAITRESS), "use --listen unix:/path"),
    ("--uds-permissions --unix-socket-perms --chmod-socket -C", (GRANIAN, WAITRESS, UWSGI),
     "use --listen unix:/path:mode=660"),
    ("--socket --uwsgi-socket --protocol --uwsgi-allow-from -s", (UWSGI, GUNICORN),
     "there is no uwsgi protocol; use --listen, and proxy_pass in nginx"),
    ("--fd", (UVICORN,), "use --listen systemd:domain=INET:index=0 for a socket of systemd"),
    ("--insecure-bind --quic-bind", (HYPERCORN,), "use --listen"),
    ("--https --https2 --https-socket", (UWSGI,), _TLS),
    ("--http-processes", (UWSGI,), "not needed; the master accepts, and workers parse HTTP"),
    ("--reuse-port --no-reuse-port", (GUNICORN, UWSGI),
     "not needed; the master accepts, and balances connections between workers"),
    ("--worker-connections --connection-limit", (GUNICORN, WAITRESS), "use --max-connections (of all workers)"),
    ("--limit-concurrency --backpressure", (UVICORN, GRANIAN), "use --queue-size, or --max-connections"),
    ("--thunder-lock", (UWSGI,), "not needed; only the master accepts"),
    ("--no-ipv4 --no-ipv6", (WAITRESS,), "use --listen with the address that you want"),
    ("--vacuum", (UWSGI,), _ALWAYS),
    # Encryption and protocols.
    ("--certfile --keyfile --keyfile-password --ca-certs --cert-reqs --ciphers --verify-mode"
     " --do-handshake-on-connect --suppress-ragged-eofs --no-suppress-ragged-eofs", (GUNICORN, HYPERCORN), _TLS),
    ("--ssl-version", (GUNICORN, UVICORN), _TLS),
    ("--ssl-certfile --ssl-keyfile --ssl-keyfile-password --ssl-ca-certs --ssl-cert-reqs --ssl-ciphers",
     (UVICORN, GRANIAN), _TLS),
    ("--ssl-certificate --ssl-ca --ssl-crl --ssl-client-verify --no-ssl-client-verify --ssl-protocol-min", (GRANIAN,),
     _TLS),
    ("--http2", (UVICORN,), _HTTP_2),
    ("--http-protocols --http2-cleartext --http2-initial-window-size --http2-max-header-list-size", (GUNICORN,),
     _HTTP_2),
    ("--http2-max-concurrent-streams --http2-max-frame-size", (GUNICORN, GRANIAN), _HTTP_2),
    ("--http2-adaptive-window --no-http2-adaptive-window --http2-initial-connection-window-size"
     " --http2-initial-stream-window-size --http2-keep-alive-interval --http2-keep-alive-timeout"
     " --http2-max-headers-size --http2-max-send-buffer-size", (GRANIAN,), _HTTP_2),
    ("--ws --no-ws --ws-max-size --ws-max-queue --ws-ping-interval --ws-ping-timeout --ws-per-message-deflate"
     " --websocket-max-message-size --websocket-ping-interval", (UVICORN, GRANIAN, GUNICORN, HYPERCORN), _WEBSOCKETS),
    ("--http-parser", (GUNICORN,), "not needed; there is one parser"),
    ("--permit-obsolete-folding --strip-header-spaces --permit-unconventional-http-method"
     " --permit-unconventional-http-version --casefold-http-method", (GUNICORN,), _STRICT),
    ("--no-sendfile --disable-sendfile --wsgi-disable-file-wrapper", (GUNICORN, UWSGI),
     "not supported; the kernel sends files wherever it can"),
    # Workers and threads.
    ("--worker-class -k", (GUNICORN, HYPERCORN), "there is one kind of worker; see --threads and --turns"),
    ("--processes", (UWSGI,), "use --workers"),
    ("--blocking-threads", (GRANIAN,), "use --threads"),
    ("--blocking-threads-idle-timeout", (GRANIAN,), "use --threads N:M with --scale-down-after"),
    ("--runtime-threads --runtime-blocking-threads --runtime-mode --task-impl", (GRANIAN,),
     "there is one event loop per worker; use --workers and --threads"),
    ("--loop --asyncio --async --gevent --ugreen", (UVICORN, GRANIAN, UWSGI),
     "there is one event loop; use --threads for apps that wait"),
    ("--master --no-master -M", (UWSGI,), "not needed; there is always a master"),
    ("--preload --preload-app", (GUNICORN,), "there is no preloading; each worker imports the app"),
    ("--lazy --lazy-apps", (UWSGI,), _ALWAYS),
    ("--cheaper --cheaper-algo --cheaper-initial --cheaper-step", (UWSGI,), "use --workers N:M"),
    ("--cheaper-overload --idle", (UWSGI,), "use --scale-down-after"),
    ("--cpu-affinity", (UWSGI,), "not supported; taskset(1) or systemd's CPUAffinity= sets it"),
    ("--offload-threads", (UWSGI,), "not needed; the event loop sends responses; see also --stand-ins"),
    ("--dirty-app --dirty-workers --dirty-timeout --dirty-threads --dirty-graceful-timeout", (GUNICORN,), _DIRTY),
    ("--spooler --mule --mules --cron", (UWSGI,), _DIRTY),
    ("--worker-tmp-dir", (GUNICORN,), "not needed; the heartbeat is in shared memory"),
    # Time-outs.
    ("--timeout -t", (GUNICORN,), "use --request-timeout (silent app) or --heartbeat-timeout (unresponsive worker)"),
    ("--harakiri --harakiri-verbose --channel-timeout", (UWSGI, WAITRESS), "use --request-timeout, and --slow to log"),
    ("--timeout-worker-healthcheck", (UVICORN,), "use --heartbeat-timeout"),
    ("--timeout-keep-alive --http-keepalive --http1-keep-alive --so-keepalive",
     (UVICORN, GRANIAN, UWSGI), "use --keep-alive TIME"),
    ("--no-http1-keep-alive", (GRANIAN,), "use --keep-alive 0"),
    ("--http1-header-read-timeout", (GRANIAN,), "use --header-timeout"),
    ("--read-timeout", (HYPERCORN,), "use --header-timeout and --body-timeout"),
    ("--socket-timeout --http-timeout -z", (UWSGI,), "use --header-timeout, --body-timeout and --write-timeout"),
    ("--timeout-graceful-shutdown --workers-kill-timeout --reload-mercy --worker-reload-mercy",
     (UVICORN, GRANIAN, UWSGI), "use --graceful-timeout"),
    # Limits.
    ("--limit-request-field_size", (GUNICORN,), "use --limit-request-field-size"),
    ("--h11-max-incomplete-event-size --max-request-header-size --buffer-size --http1-buffer-size",
     (UVICORN, GRANIAN, WAITRESS, UWSGI), "use --limit-request-line and --limit-request-field-size"),
    ("--max-request-body-size --limit-post", (WAITRESS, UWSGI), "use --limit-request-body"),
    ("--post-buffering --inbuf-overflow --outbuf-overflow --outbuf-high-watermark", (UWSGI, WAITRESS),
     "not needed; bodies are buffered; --spool-size limits them"),
    ("--http1-pipeline-flush --no-http1-pipeline-flush --channel-request-lookahead --recv-bytes --send-bytes",
     (GRANIAN, WAITRESS), "not supported"),
    ("--asyncore-loop-timeout --asyncore-use-poll --cleanup-interval", (WAITRESS,),
     "not needed; the event loop is Twisted's"),
    ("--http-chunked-input --http-auto-chunked --http-raw-body", (UWSGI,),
     "not needed; chunked bodies work in both directions"),
    # Proxies.
    ("--proxy-headers", (UVICORN,), "use --forwarded-allow-ips; headers of trusted proxies always count"),
    ("--no-proxy-headers", (UVICORN,), "use --forwarded-allow-ips= (empty: trust no proxy)"),
    ("--trusted-proxy --trusted-proxy-headers --trusted-proxy-count", (WAITRESS,), "use --forwarded-allow-ips"),
    ("--forwarder-headers", (GUNICORN,), "use --script-name-header"),
    ("--proxy-protocol --proxy-allow-from --proxy-allow-ips", (GUNICORN,),
     "there is no PROXY protocol; have the proxy send X-Forwarded-For (see --forwarded-allow-ips)"),
    ("--url-scheme", (WAITRESS,), "have the proxy send X-Forwarded-Proto (see --forwarded-allow-ips)"),
    ("--server-header --no-server-header --date-header --no-date-header --header --add-header --server-name --ident",
     (UVICORN, UWSGI, HYPERCORN, WAITRESS), _HEADERS),
    ("--static-path-mount --static-path-route --static-path-expires --static-path-dir-to-file", (GRANIAN,), _STATIC),
    ("--static-map --static-index --check-static --static-expires", (UWSGI,), _STATIC),
    ("--route", (UWSGI,), "there is no routing; use a proxy such as nginx"),
    # Logs.
    ("--access-logfile --req-logger --accesslog", (GUNICORN, HYPERCORN, UWSGI), "use --access-log FILE"),
    ("--access-logformat --access-log-fmt --logformat", (GUNICORN, HYPERCORN, GRANIAN, UWSGI),
     "use --access-log-format"),
    ("--no-access-log --disable-logging -L", (UVICORN, GRANIAN, UWSGI),
     "not needed; there is no access log without --access-log"),
    ("--error-logfile --error-log --errorlog --logto --logto2 --logger", (GUNICORN, HYPERCORN, UWSGI),
     "use --log-file"),
    ("--debug", (HYPERCORN,), "use --log-level"),
    ("--log --no-log", (GRANIAN,), "use --log-level"),
    ("--log-config --log-config-json --logger-class", (GUNICORN, UVICORN, GRANIAN, HYPERCORN), _LOGGING),
    ("--log-syslog --log-syslog-to --log-syslog-prefix --log-syslog-facility --disable-redirect-access-to-syslog",
     (GUNICORN,), _SYSLOG),
    ("--capture-output --enable-stdio-inheritance -R", (GUNICORN,),
     "not needed; output of the app is always in the log; see --app-output"),
    ("--log-slow", (UWSGI,), "use --slow"),
    ("--log-reopen --touch-logreopen --log-maxsize --logfile-chmod", (UWSGI,),
     "not supported; rotate logs with logrotate, and send SIGUSR1"),
    ("--log-date --logdate --log-micros", (UWSGI,), _ALWAYS),
    ("--log-master --log-4xx --log-5xx --log-x-forwarded-for", (UWSGI,), "use --access-log with --access-log-format"),
    ("--use-colors --no-use-colors", (UVICORN,), "not needed; the log has no colors"),
    ("--spew --py-tracebacker", (GUNICORN, UWSGI), "not supported; `twistcorn stack` shows where threads are"),
    # Monitoring.
    ("--statsd-host", (GUNICORN, HYPERCORN), "use --statsd"),
    ("--statsd-prefix --dogstatsd-tags", (GUNICORN, HYPERCORN),
     "not supported; names of metrics are fixed; see --statsd"),
    ("--enable-backlog-metric", (GUNICORN,), "not needed; metrics are at --admin"),
    ("--metrics --no-metrics --metrics-address --metrics-port --metrics-scrape-interval --rss-samples"
     " --rss-sample-interval", (GRANIAN,), "use --admin, which serves /metrics"),
    ("--stats --stats-server --stats-http --memory-report", (UWSGI,), "use --admin, or `twistcorn status`"),
    ("--control-socket --control-socket-mode --master-fifo", (GUNICORN, UWSGI), "use --control"),
    ("--no-control-socket --control-socket-disable", (GUNICORN,), "use --control off"),
    # Replacing workers.
    ("--reload --reload-engine --reload-extra-file", (GUNICORN, UVICORN, GRANIAN, HYPERCORN), _WATCH),
    ("--reload-dir --reload-include --reload-exclude --reload-delay", (UVICORN,), _WATCH),
    ("--no-reload --reload-paths --reload-ignore-dirs --reload-ignore-paths --reload-ignore-patterns --reload-tick"
     " --reload-ignore-worker-failure --no-reload-ignore-worker-failure", (GRANIAN,), _WATCH),
    ("--py-autoreload --python-autoreload --touch-reload --touch-chain-reload", (UWSGI,), _WATCH),
    ("--limit-max-requests", (UVICORN,), "use --max-requests"),
    ("--limit-max-requests-jitter --max-requests-delta", (UVICORN, UWSGI), "use --max-requests-jitter"),
    ("--workers-lifetime --max-worker-lifetime", (GRANIAN, UWSGI), "use --max-age"),
    ("--min-worker-lifetime", (UWSGI,), "not needed; a worker is replaced only when its successor is ready"),
    ("--workers-max-rss --reload-on-rss --evil-reload-on-rss", (GRANIAN, UWSGI), "use --max-rss"),
    ("--respawn-failed-workers --no-respawn-failed-workers --respawn-interval", (GRANIAN,),
     "not needed; dead workers are always replaced"),
    # The process.
    ("--daemon --daemonize --daemonize2 -D -d", (GUNICORN, HYPERCORN, UWSGI), _SUPERVISOR),
    ("--emperor --attach-daemon", (UWSGI,), _SUPERVISOR),
    ("--user --group --initgroups --uid --gid -u -g", (GUNICORN, HYPERCORN, UWSGI), _USER),
    ("--chroot --chown-socket --umask -m", (GUNICORN, HYPERCORN, UWSGI),
     "not supported; set it before the start (systemd: UMask=, RootDirectory=)"),
    ("--pid --pid-file --pidfile2 --safe-pidfile", (GUNICORN, GRANIAN, HYPERCORN, UWSGI), "use --pidfile"),
    ("--name --process-name --procname --procname-prefix --auto-procname -n", (GUNICORN, GRANIAN, UWSGI),
     _PROCESS_NAME),
    ("--die-on-term --no-orphans --close-on-exec",
     (UWSGI,), _ALWAYS),
    ("--stop", (UWSGI,), "use `twistcorn stop`"),
    ("--cache2 --sharedarea --hook-as-user --exec-asap", (UWSGI,), _APP_SERVER_ONLY),
)  # fmt: skip


def _table() -> dict[str, Foreign]:
    found: dict[str, Foreign] = {}
    for names, servers, answer in _ROWS:
        for name in names.split():
            found.setdefault(name, Foreign(", ".join(servers), answer))
    return found


#: By name, dashes and all.
FOREIGN = _table()
