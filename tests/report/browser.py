"""The page of a report, driven as a person drives it: clicks, keys, and what can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Page:
    """A browser that shows a report."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.opened = ""

    def open(self, path: Path, view: str = "") -> None:
        self.driver.get("about:blank")  # so that an address that differs in its hash alone is loaded anew too
        self.driver.get_log("performance")
        self.opened = path.as_uri()
        self.driver.get(self.opened + view)

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, theme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": theme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    # -- what can be found ---------------------------------------------------------------------------------------------

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def button(self, text: str, inside: str = "body") -> Any:
        """Return the button whose text starts so."""
        return next(button for button in self.all(f"{inside} button") if button.text.startswith(text))

    def texts(self, selector: str) -> list[str]:
        return list(
            self.run(
                "return arguments[0].map(element => (element.innerText ?? element.textContent).trim())",
                self.all(selector),
            )
        )

    @property
    def found(self) -> str:
        return str(self.one("#found").text)

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
        return str(self.one("#detail").text)

    # -- what a person does --------------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """Put a text into the search, as by pasting it; :meth:`press` types."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.run(script, self.one("#search"), text)

    def press(self, *keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(*keys)

    def choose(self, selector: str, text: str) -> None:
        """Choose the option of a list that is shown as `text`."""
        option = next(option for option in self.all(f"{selector} option") if option.text == text)
        option.click()

    # -- what must not be ----------------------------------------------------------------------------------------------

    def complaints(self) -> list[str]:
        """What the console says: errors, and what the content security policy has refused."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """What was asked for since the page was opened, without the hashes."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        urls = {str(request["request"]["url"]) for request in sent}
        return {url.partition("#")[0] for url in urls if not url.startswith(("data:", "about:"))}
