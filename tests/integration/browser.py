"""A real browser without a window: Chromium, driven by chromedriver.

Law: what a page shows is waited for with a deadline, never for a time; a browser leaves no process and no file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.conftest import find_program
from tests.integration.harness import TIMEOUT, group, wait_until

#: Without a sandbox, because tests may run as root; without shared memory, because a container has little; and without
#: anything that asks the network for something.
_SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-default-browser-check",
)  # fmt: skip


class Browser:
    """A browser with one window."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = find_program("chromium") or ""
        for switch in (*_SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # Its own group, so that nothing of it can be left behind unseen.
        self._service = Service(find_program("chromedriver"), popen_kw={"start_new_session": True})
        self._driver = webdriver.Chrome(options=options, service=self._service)
        self._driver.set_script_timeout(TIMEOUT)
        self._driver.set_page_load_timeout(TIMEOUT)

    def close(self) -> None:
        """End it, and fail for what stays."""
        number = self._service.process.pid
        try:
            self._driver.quit()
            wait_until(lambda: not group(number), "no process of the browser is left")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(number, signal.SIGKILL)

    def open(self, address: str) -> None:
        """Show a page; what the console said of others is forgotten."""
        self._driver.get(address)
        self.complaints()

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        return self._driver.execute_script(f"return {expression}")

    def text(self, selector: str) -> str:
        """The text of the first element that a selector finds."""
        return str(self.ask(f"document.querySelector({selector!r}).innerText"))

    def column(self, table: str, label: str) -> list[str]:
        """A column of a table, by its head."""
        cells = f"#{table} tbody [data-label={json.dumps(label)}]"
        found: list[str] = self.ask(f"[...document.querySelectorAll({cells!r})].map((cell) => cell.textContent)")
        return found

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        wait_until(lambda: bool(self.ask(expression)), expression)

    def click(self, selector: str) -> None:
        """Click on the first element that a selector finds."""
        self.ask(f"document.querySelector({selector!r}).click()")

    def complaints(self) -> list[str]:
        """What the console said since the last time, except plain messages."""
        entries: list[dict[str, Any]] = self._driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    @contextlib.contextmanager
    def looking(self, scheme: str, width: int) -> Iterator[None]:
        """As on a device with such a screen, whose user wants light or dark."""
        self._driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        yield
        self._driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
