"""Debian's Chromium without a screen, driven by its own chromedriver: what a person sees and does on the dashboard."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import wait_until

webdriver = pytest.importorskip("selenium.webdriver", reason="the dashboard is tested with selenium, which is not here")

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException  # noqa: E402
from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
WITHIN_S = 20.0
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--lang=en",
)


def require_chromium() -> None:
    """Skips, with the reason, where there is no browser."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium and chromedriver on the PATH: apt-get install chromium chromium-driver")


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser with a folder of its own, gone with it."""
    require_chromium()
    options = Options()
    options.binary_location = str(CHROMIUM)
    # Chromium binds a socket in its temporary folder: a path as long as a test's own is too long for one.
    home = tempfile.mkdtemp(prefix="ch-")
    for argument in (*ARGUMENTS, f"--user-data-dir={home}/profile", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    environment = {
        "HOME": home,
        "TMPDIR": home,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }
    try:
        driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER, env=environment))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Browser:
    """One tab. What is looked for is waited for: the page is live."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    # Where it is

    def open(self, url: str) -> None:
        """As a new tab would: nothing is kept of what was there."""
        self.driver.get("about:blank")
        self.driver.get(url)

    def forget(self) -> None:
        """Drops the token of this tab."""
        self.run("sessionStorage.clear()")

    def size(self, width: int, height: int) -> None:
        """The page's width and height; chromedriver's windows cannot be as narrow as a telephone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        """`light` or `dark`, without any motion."""
        features = [
            {"name": "prefers-color-scheme", "value": name},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    # What is there

    def run(self, script: str, *arguments: Any) -> Any:
        """What JavaScript gives."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str = "body") -> str:
        """The text that is seen there; empty where nothing is."""
        with contextlib.suppress(StaleElementReferenceException, WebDriverException):
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return found[0].text if found else ""
        return ""

    def visible(self, selector: str) -> bool:
        """Whether it is there and seen."""
        with contextlib.suppress(StaleElementReferenceException):
            return any(one.is_displayed() for one in self.driver.find_elements(By.CSS_SELECTOR, selector))
        return False

    def sees(self, words: str, selector: str = "body") -> None:
        """Waits until these words are there."""
        try:
            wait_until(lambda: words in self.text(selector), WITHIN_S, f"{words!r} in {selector}")
        except AssertionError as error:
            raise AssertionError(f"{error}; there is:\n{self.text(selector) or self.text()}") from None

    def shows(self, selector: str) -> Any:
        """Waits for an element that is seen."""
        wait_until(lambda: self.visible(selector), WITHIN_S, f"{selector} to be seen")
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def lacks(self, selector: str) -> None:
        """Waits until it is not seen."""
        wait_until(lambda: not self.visible(selector), WITHIN_S, f"{selector} to be gone")

    def lines(self, stream: str = "stdout") -> list[str]:
        """The lines of output on the page, whole, as they stand in the document."""
        script = "return [...document.querySelectorAll(`.line.${arguments[0]}`)].map((one) => one.textContent)"
        return list(self.run(script, stream))

    def complaints(self) -> list[str]:
        """What the page's scripts and its policy complained of since the last look; lost connections are no fault."""
        entries = [entry["message"] for entry in self.driver.get_log("browser")]
        return [
            entry
            for entry in entries
            if "net::ERR_" not in entry and "status of 4" not in entry and "status of 503" not in entry
        ]

    # What one does

    def click(self, selector: str) -> None:
        """Waits for it, and clicks it."""
        self.shows(selector).click()

    def press(self, *keys: str) -> None:
        """Keys, to whatever has the focus."""
        actions = ActionChains(self.driver)
        for key in keys:
            actions.send_keys(key)
        actions.perform()

    def focused(self) -> str:
        """What has the focus, in words."""
        script = """
            const one = document.activeElement;
            return one.getAttribute("aria-label") || one.id || one.textContent.trim() || one.tagName"""
        return str(self.run(script))

    def picture(self, path: pathlib.Path) -> None:
        """Writes a screenshot."""
        path.write_bytes(self.driver.get_screenshot_as_png())
