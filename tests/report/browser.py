"""The page of a report, driven as a person drives it: clicks, keys, and what can be read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds to wait for what must come; a machine may be busy."""


class Page:
    """A browser that shows a report."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.opened = ""
        self.pages = 0

    def open(self, path: Path, view: str = "") -> None:
        self.driver.get_log("performance")
        self.pages += 1  # an address that differs in its hash alone would not be loaded anew
        self.opened = f"{path.as_uri()}?{self.pages}"
        self.driver.get(self.opened + view)
        until = time.monotonic() + PATIENCE
        while not self.found and time.monotonic() < until:  # what is found is drawn after the page is there
            time.sleep(0.02)

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, theme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": theme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, what: Callable[[], T]) -> T:
        """Return what is there as soon as it is: some events come when the browser has time for them."""
        deadline = time.monotonic() + PATIENCE
        while not (found := what()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def back(self) -> None:
        """Go back, and wait until what was there is drawn."""
        self.run(
            "const before = location.hash; window.wentBack = false;"
            "addEventListener('hashchange', () => { window.wentBack ||= location.hash !== before })"
        )
        self.driver.back()
        assert self.wait(lambda: self.run("return window.wentBack"))

    # -- what can be found ---------------------------------------------------------------------------------------------

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        found = self.wait(lambda: self.all(selector))
        assert found, f"there is no {selector}"
        return found[0]

    def button(self, text: str, inside: str = "body") -> Any:
        """Return the button whose text starts so."""
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".find(element => element.innerText.trim().startsWith(arguments[1]))"
        )
        found = self.wait(lambda: self.run(script, f"{inside} button", text))
        assert found, f"there is no button {text!r}"
        return found

    def texts(self, selector: str) -> list[str]:
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".map(element => (element.innerText ?? element.textContent).trim())"
        )
        return list(self.run(script, selector))

    @property
    def found(self) -> str:
        return self.texts("#found")[0]

    @property
    def titles(self) -> list[str]:
        """The titles of the columns."""
        return [title.rstrip(" ▾▴") for title in self.texts(".head [role=columnheader]")][1:]

    def column(self, title: str) -> list[str]:
        """The cells of a column, of the rows that are drawn."""
        number = self.titles.index(title) + 2
        return self.texts(f".body .row [role=gridcell]:nth-child({number})")

    @property
    def detail(self) -> str:
        return self.texts("#detail")[0]

    # -- what a person does --------------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """Put a text into the search, as by pasting it; :meth:`press` types."""
        self.run(
            "const search = document.getElementById('search');"
            "search.value = arguments[0]; search.dispatchEvent(new Event('input'))",
            text,
        )

    def press(self, *keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(*keys)

    def choose(self, selector: str, text: str) -> None:
        """Choose the option of a list that is shown as `text`."""
        script = (
            "const option = [...arguments[0].options].find(option => option.text === arguments[1]);"
            "arguments[0].value = option.value; arguments[0].dispatchEvent(new Event('change'))"
        )
        self.run(script, self.one(selector), text)

    # -- what must not be ----------------------------------------------------------------------------------------------

    def complaints(self) -> list[str]:
        """What the console says: errors, and what the content security policy has refused."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """What was asked for since the page was opened, without the hashes."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        urls = {str(request["request"]["url"]) for request in sent}
        return {url.partition("#")[0] for url in urls if not url.startswith(("data:", "about:", "chrome:"))}
