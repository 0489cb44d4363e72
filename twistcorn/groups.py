"""The options in groups, as `--help` shows them.

Law: declares; each option of the table is in exactly one group, which a test holds.
"""

from __future__ import annotations

#: Title, and the names of its settings in the order in which they are shown.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Application", ("app", "chdir", "pythonpath", "config", "pidfile")),
    ("Listening", ("listen", "backlog", "max_connections")),
    ("Workers", ("workers", "threads", "stand_ins", "scale_down_after", "turns")),
    (
        "Time-outs",
        (
            "header_timeout", "body_timeout", "request_timeout", "write_timeout", "keep_alive", "park_after",
            "queue_timeout", "boot_timeout", "heartbeat_timeout", "graceful_timeout", "drain_delay",
        ),
    ),
    (
        "Limits",
        (
            "queue_size", "limit_request_line", "limit_request_fields", "limit_request_field_size",
            "limit_request_trailers", "limit_request_body", "spool_size", "expect",
        ),
    ),
    ("Proxies", ("forwarded_allow_ips", "header_map", "script_name", "script_name_header")),
    ("Logs", ("log_level", "log_format", "access_log", "access_log_format", "app_output", "slow")),
    ("Monitoring", ("admin", "admin_token", "admin_action_token", "statsd", "control")),
    (
        "Replacing workers",
        (
            "max_requests", "max_requests_jitter", "max_rss", "max_age", "reload_strategy", "replay",
            "quarantine_after",
        ),
    ),
)  # fmt: skip
