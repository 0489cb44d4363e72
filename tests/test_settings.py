"""The claims of twistcorn.settings: what each option takes, where it comes from, and how it travels."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn import syntax
from twistcorn.errors import EXIT_USAGE, SettingsError
from twistcorn.reference import reference
from twistcorn.settings import OPTIONS, SECRETS, Settings, flag, from_json, from_values, to_json
from twistcorn.sources import resolve
from twistcorn.syntax import MAX_WORKERS

NAMES = [field.name for field in OPTIONS]

#: (option, text, value)
ALLOWED: list[tuple[str, str, Any]] = [
    ("app", "shop.wsgi:make('live')", "shop.wsgi:make('live')"),
    ("config", "twistcorn.conf", "twistcorn.conf"),
    ("access_log", "-", "-"),
    ("access_log_format", "json", "json"),
    ("access_log_format", "%(h)s %({x-a}i)s", "%(h)s %({x-a}i)s"),
    ("app_output", "plain", "plain"),
    ("log_level", "debug", "debug"),
    ("log_format", "json", "json"),
    ("control", "/run/shop/control", "/run/shop/control"),
    ("admin", ":9000", "tcp:9000:interface=127.0.0.1"),
    ("admin", "0.0.0.0:9000", "tcp:9000:interface=0.0.0.0"),
    ("admin", "", ""),
    ("admin_token", "secret", "secret"),
    ("admin_action_token", "more secret", "more secret"),
    ("statsd", "127.0.0.1:8126", "127.0.0.1:8126"),
    ("statsd", "stats.example", "stats.example:8125"),
    ("statsd", " [::1]:1 ", "[::1]:1"),
    ("statsd", "[::1]", "[::1]:8125"),
    ("statsd", "", ""),
    ("request_timeout", "0", 0.0),
    ("heartbeat_timeout", "5s", 5.0),
    ("max_requests", "10000", 10000),
    ("max_requests_jitter", "100", 100),
    ("max_rss", "512MB", 512 << 20),
    ("max_age", "1h", 3600.0),
    ("reload_strategy", "together", "together"),
    ("quarantine_after", "3", 3),
    ("turns", "pool", "pool"),
    ("workers", "1", 1),
    ("workers", str(MAX_WORKERS), MAX_WORKERS),
    ("workers", " 4 ", 4),
    ("workers", "auto", 0),
    ("workers", "AUTO", 0),
    ("scale_down_after", "2m", 120.0),
    ("threads", "1", 1),
    ("threads", "1024", 1024),
    ("backlog", "65535", 65535),
    ("max_connections", "0", 0),
    ("keep_alive", "75", 75.0),
    ("keep_alive", "0", 0.0),
    ("keep_alive", "1.5", 1.5),
    ("keep_alive", "30s", 30.0),
    ("keep_alive", "5m", 300.0),
    ("keep_alive", "2h", 7200.0),
    ("keep_alive", "1d", 86400.0),
    ("keep_alive", "250ms", 0.25),
    ("keep_alive", " 5 m ", 300.0),
    ("limit_request_body", "0", 0),
    ("limit_request_body", "8190", 8190),
    ("limit_request_body", "64k", 64 << 10),
    ("limit_request_body", "64K", 64 << 10),
    ("limit_request_body", "512MB", 512 << 20),
    ("limit_request_body", "512 mb", 512 << 20),
    ("limit_request_body", "1GiB", 1 << 30),
    ("limit_request_body", "100b", 100),
    ("pythonpath", "src,lib", ("src", "lib")),
    ("pythonpath", "src", ("src",)),
    ("forwarded_allow_ips", "10.0.0.1, 10.0.0.2", ("10.0.0.1", "10.0.0.2")),
    ("forwarded_allow_ips", "10.0.0.0/8 fd00::/8", ("10.0.0.0/8", "fd00::/8")),
    ("forwarded_allow_ips", "*", ("*",)),
    ("replay", "off", "off"),
    ("expect", "early", "early"),
    ("replay", "idempotent", "idempotent"),
    ("header_map", "refuse", "refuse"),
    ("turns", "inline", "inline"),
    ("script_name", "/shop", "/shop"),
    ("script_name", "/shop/de", "/shop/de"),
    ("script_name", "", ""),
    ("script_name_header", "X-Script-Name", "X-Script-Name"),
    ("listen", "tcp:8000", ("tcp:8000",)),
    ("listen", "tcp6:8000", ("tcp6:8000",)),
    ("listen", "tcp:8000:interface=10.0.0.1:backlog=9", ("tcp:8000:interface=10.0.0.1:backlog=9",)),
    ("listen", "systemd:domain=INET:index=0", ("systemd:domain=INET:index=0",)),
    ("listen", ":8000", ("tcp:8000",)),
    ("listen", "*:8000", ("tcp:8000",)),
    ("listen", "0.0.0.0:80", ("tcp:80:interface=0.0.0.0",)),
    ("listen", "127.0.0.1:8000", ("tcp:8000:interface=127.0.0.1",)),
    ("listen", " localhost:8000 ", ("tcp:8000:interface=localhost",)),
    ("listen", "[::1]:8000", (r"tcp6:8000:interface=\:\:1",)),
    ("listen", "[::]:0", (r"tcp6:0:interface=\:\:",)),
    ("listen", ":65535", ("tcp:65535",)),
    ("listen", "unix:/run/shop.sock", ("unix:/run/shop.sock:lockfile=0",)),
    ("listen", "unix:/run/shop.sock:mode=660", ("unix:/run/shop.sock:mode=660:lockfile=0",)),
    ("listen", "unix:/run/shop.sock:lockfile=1", ("unix:/run/shop.sock:lockfile=1",)),
]

#: (option, text, a part of what is said to be allowed)
REFUSED = [
    *[("workers", text, f"auto or a whole number from 1 to {MAX_WORKERS}") for text in ("0", "-1", "1.5", "many", "")],
    ("workers", str(MAX_WORKERS + 1), str(MAX_WORKERS)),
    *[("threads", text, "a whole number from 1 to 1024") for text in ("0", "1025", "+1", "0x10", "9" * 400, "\u0663")],
    *[("keep_alive", text, "a duration") for text in ("", "-1", "1e3", "5 minutes", "s", "inf", "1m30s", "30S")],
    *[("keep_alive", text, "a duration") for text in ("9" * 400, "20000d", "1000000001", "\u0663s")],
    *[("limit_request_body", text, "a size") for text in ("", "-1", "1.5M", "1T", "k", "64 k b", "9" * 5000)],
    *[("script_name", text, "starts with /") for text in ("shop", "/shop/", "/", "shop/")],
    *[("forwarded_allow_ips", text, "networks") for text in ("localhost", "10.0.0.0/33", "*,x")],
    *[("access_log_format", text, "combined, extended, json") for text in ("", "%(z)s", "%d", "%(h)s\n")],
    *[("expect", text, "read or early") for text in ("", "late", "100-continue")],
    *[("replay", text, "safe, idempotent or off") for text in ("", "yes", "Safe")],
    ("replay", "on", "what was called on is idempotent now"),
    *[("queue_size", text, "a whole number from 1 to 1000000") for text in ("0", "1000001")],
    *[("statsd", text, "HOST:PORT") for text in (":8125", "*:8125", "a:0", "a:65536", "a b", "::1", "udp://a")],
    *[("header_map", text, "drop, refuse or dangerous") for text in ("", "Drop", "keep")],
    *[("turns", text, "adaptive, inline or pool") for text in ("", "Pool", "x")],
    *[
        ("listen", text, "an endpoint such as")
        for text in ("", "8000", "tcp:", "unix:", ":65536", ":-1", "::1:8000", "[::1]", "http://a:80", "a b:80", "/x")
    ],
]  # fmt: skip


def parse(option: str, text: str) -> Any:
    """What an option becomes when it is given on the command line."""
    return getattr(resolve({option: [text]}, {}), option)


def without_secrets(settings: Settings) -> Settings:
    """What a worker may know."""
    blank: dict[str, Any] = {field.name: field.default for field in SECRETS}
    return dataclasses.replace(settings, **blank)


class TestValues:
    @pytest.mark.parametrize(("option", "text", "value"), ALLOWED)
    def test_allowed(self, option: str, text: str, value: Any) -> None:
        """The text becomes the value."""
        assert parse(option, text) == value

    @pytest.mark.parametrize(("option", "text", "allowed"), REFUSED)
    def test_refused(self, option: str, text: str, allowed: str) -> None:
        """The error names the option, the value as it was given, and what is allowed; it is a usage error."""
        with pytest.raises(SettingsError) as raised:
            parse(option, text)

        message = str(raised.value)
        assert message.startswith(f"invalid value {text!r} for --{option.replace('_', '-')}: expected ")
        assert allowed in message
        assert raised.value.exit_code == EXIT_USAGE

    @pytest.mark.parametrize("option", NAMES)
    def test_default(self, option: str) -> None:
        """Every default is a value that the option itself allows."""
        value = getattr(Settings(), option)
        text = ",".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)

        assert parse(option, text) == value

    @given(st.sampled_from(NAMES), st.text())
    def test_anything(self, option: str, text: str) -> None:
        """Whatever is typed, it is a value or a SettingsError, nothing else; and a value survives its way."""
        try:
            made = resolve({option: [text]}, {})
        except SettingsError:
            return
        assert from_json(to_json(made)) == without_secrets(made)

    @pytest.mark.parametrize("text", [text for option, text, _ in ALLOWED if option == "listen"])
    def test_address_is_read_twice(self, text: str) -> None:
        """An address that was made from sugar is an address."""
        once = syntax.endpoint(text)

        assert syntax.endpoint(once) == once

    def test_given_several_times(self) -> None:
        """The last one counts, except for addresses, of which there may be several."""
        made = resolve({"threads": ["2", "3"], "listen": [":1", ":2"]}, {})

        assert made.threads == 3
        assert made.listen == ("tcp:1", "tcp:2")

    def test_changed(self) -> None:
        """Settings do not change."""
        with pytest.raises(dataclasses.FrozenInstanceError):
            Settings().workers = 2  # type: ignore[misc]


class TestEnvironment:
    @pytest.mark.parametrize("option", NAMES)
    def test_every_option_has_a_variable(self, option: str) -> None:
        """TWISTCORN_ and the option's name; its text is read as the option's."""
        text, value = next((text, value) for name, text, value in [*ALLOWED, *MORE] if name == option)

        assert getattr(resolve({}, {f"TWISTCORN_{option.upper()}": text}), option) == value

    @pytest.mark.parametrize(
        ("variable", "option"),
        [
            ("WEB_CONCURRENCY", "workers"),
            ("FORWARDED_ALLOW_IPS", "forwarded_allow_ips"),
            ("SCRIPT_NAME", "script_name"),
        ],
    )
    def test_customary_variables(self, variable: str, option: str) -> None:
        """What other servers and platforms use works as well, after our own."""
        (first, value), (second, other) = [(t, v) for name, t, v in ALLOWED if name == option][:2]

        assert getattr(resolve({}, {variable: first}), option) == value
        assert getattr(resolve({}, {variable: first, f"TWISTCORN_{option.upper()}": second}), option) == other

    def test_command_line_goes_first(self) -> None:
        """What was typed is stronger than what the environment says."""
        environ = {"TWISTCORN_WORKERS": "3", "WEB_CONCURRENCY": "4"}

        assert resolve({"workers": ["2"]}, environ).workers == 2

    def test_nothing_is_given(self) -> None:
        """The defaults."""
        assert resolve({}, {"PATH": "/bin", "TWISTCORN_NOTHING": "1"}) == Settings()

    def test_port(self) -> None:
        """PORT, as platforms set it, is all interfaces; every other way to name an address is stronger."""
        assert resolve({}, {"PORT": "5000"}).listen == ("tcp:5000",)
        assert resolve({}, {"PORT": "5000", "TWISTCORN_LISTEN": ":1"}).listen == ("tcp:1",)
        assert resolve({"listen": [":2"]}, {"PORT": "5000"}).listen == ("tcp:2",)

    def test_variable_is_empty(self) -> None:
        """It is as if it were not there."""
        assert resolve({}, {"TWISTCORN_THREADS": "", "WEB_CONCURRENCY": "", "PORT": ""}) == Settings()

    @pytest.mark.parametrize(
        ("variable", "text"),
        [("TWISTCORN_THREADS", "0"), ("WEB_CONCURRENCY", "lots"), ("PORT", "http"), ("TWISTCORN_LISTEN", "8000")],
    )
    def test_variable_is_wrong(self, variable: str, text: str) -> None:
        """The error names the variable: the operator did not type an option."""
        with pytest.raises(SettingsError, match=rf"^invalid value '.*{text}' for {variable}: expected "):
            resolve({}, {variable: text})


#: What ALLOWED has no row for.
MORE: list[tuple[str, str, Any]] = [
    ("chdir", "/srv/shop", "/srv/shop"),
    ("pidfile", "/run/shop.pid", "/run/shop.pid"),
    *[(field.name, "7", 7.0) for field in OPTIONS if isinstance(field.default, float)],
    *[(field.name, "77", 77) for field in OPTIONS if isinstance(field.default, int)],
]


class TestPython:
    def test_texts(self) -> None:
        """Texts are read as those of the command line."""
        made = from_values(app="shop:app", workers="auto", keep_alive="5m", listen="127.0.0.1:1", pythonpath="a,b")

        assert (made.app, made.workers, made.keep_alive) == ("shop:app", 0, 300.0)
        assert (made.listen, made.pythonpath) == (("tcp:1:interface=127.0.0.1",), ("a", "b"))

    def test_values(self) -> None:
        """Values are taken as they are; several addresses are a list."""
        made = from_values(workers=4, keep_alive=5.0, listen=[":1", "tcp:2"])

        assert (made.workers, made.keep_alive, made.listen) == (4, 5.0, ("tcp:1", "tcp:2"))

    def test_whole_settings(self) -> None:
        """Settings that were resolved once resolve to themselves."""
        made = resolve({option: [text] for option, text, _ in reversed(ALLOWED)}, {})

        assert from_values(**vars(made)) == made

    def test_name_is_unknown(self) -> None:
        """The error names it, and the one that is meant."""
        with pytest.raises(SettingsError, match=r"^unknown setting 'theads'; did you mean threads\?$"):
            from_values(theads=2)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("threads", 0), ("threads", "0"), ("threads", 2.5), ("threads", None), ("workers", -1),
            ("keep_alive", -1.0), ("listen", [8000]), ("listen", 8000), ("app", None), ("script_name", 5),
        ],
    )  # fmt: skip
    def test_value_is_wrong(self, name: str, value: object) -> None:
        """A value that the option would refuse is refused as well, by name."""
        with pytest.raises(SettingsError, match=f" for {name}: expected "):
            from_values(**{name: value})

    def test_list_of_words(self) -> None:
        """A list does for a tuple, and travels."""
        made = from_values(pythonpath=["src", "lib"])

        assert made.pythonpath == ("src", "lib")
        assert from_json(to_json(made)) == made


class TestJSON:
    def test_whole_settings(self) -> None:
        """What a worker reads is what the master wrote, types and all."""
        made = without_secrets(resolve({option: [text] for option, text, _ in ALLOWED}, {}))

        assert from_json(to_json(made)) == made
        assert hash(from_json(to_json(made))) == hash(made)

    def test_secrets_stay_with_the_master(self) -> None:
        """The application could read them in its worker."""
        made = Settings(admin_token="read", admin_action_token="act")

        assert from_json(to_json(made)) == without_secrets(made) == Settings()

    def test_letters_of_the_world(self) -> None:
        """Paths may have any letters."""
        made = Settings(chdir="/srv/магазин", pidfile="/tmp/\udcff.pid")

        assert from_json(to_json(made)) == made


class TestReference:
    @pytest.mark.parametrize("field", OPTIONS, ids=NAMES)
    def test_every_option_is_there(self, field: dataclasses.Field[Any]) -> None:
        """With its flags, its variables and its meaning, in one line."""
        (line,) = [line for line in reference().splitlines() if line.startswith(f"| `--{flag(field)} ")]

        assert f"`TWISTCORN_{field.name.upper()}`" in line
        assert field.metadata["help"] in line
        assert all(f"`{variable}`" in line for variable in field.metadata["env"])
        assert line.replace(r"\|", "").count("|") == 6

    def test_names_are_unique(self) -> None:
        """No two options share a flag, a short one, an alias or a variable."""
        metas = [field.metadata for field in OPTIONS]
        names = [flag(f) for f in OPTIONS] + [m[key] for m in metas for key in ("short", "alias") if m[key]]
        variables = [f"TWISTCORN_{name.upper()}" for name in NAMES] + [v for m in metas for v in m["env"]]

        assert len(set(names)) == len(names)
        assert len(set(variables)) == len(variables)
