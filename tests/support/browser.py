"""A real browser for tests: Debian's Chromium, and axe-core to judge what it shows.

What is on PATH is used. With WHISPERBATCH_INSTALL_BROWSER set, what is missing is installed by apt-get and npm; without
it a test is skipped.
"""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

INSTALL = "WHISPERBATCH_INSTALL_BROWSER"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--mute-audio"),
    "--autoplay-policy=no-user-gesture-required",
)
PACKAGES = ("chromium", "chromium-driver")


def programs() -> tuple[str, str]:
    """Chromium's path and its driver's; the test is skipped when they cannot be had."""
    if os.environ.get(INSTALL):
        with _one_installs():
            if _found() is None:
                _apt(*PACKAGES)
    found = _found()
    if found is None:
        pytest.skip(f"needs chromium and chromedriver on PATH, or {INSTALL}=1 to install them by apt-get")
    return found


def axe(folder: Path) -> str:
    """axe-core's source, fetched by npm into a folder; the test is skipped when it cannot be had."""
    if not os.environ.get(INSTALL):
        pytest.skip(f"needs {INSTALL}=1 to fetch axe-core by npm")
    with _one_installs():
        if shutil.which("npm") is None:
            _apt("npm")
    subprocess.run(["npm", "pack", "--silent", "axe-core@4"], cwd=folder, check=True, timeout=300)
    (archive,) = folder.glob("axe-core-*.tgz")
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


@contextmanager
def opened(downloads: Path, *, is_dark: bool = False, width: int = 1280, height: int = 800) -> Iterator[Any]:
    """A browser of that size and colour scheme; what it saves goes into ``downloads``."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = programs()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield browser
    finally:
        browser.quit()


def requests(browser: Any) -> list[str]:
    """Every URL that the browser has asked for since the last call, as its own log tells."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def _found() -> tuple[str, str] | None:
    chromium, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None


def _one_installs() -> FileLock:
    """Have others wait while one process of these tests installs anything: pytest may run several."""
    return FileLock(Path(tempfile.gettempdir(), "whisperbatch-tests-install.lock"))


def _apt(*packages: str) -> None:
    """Install Debian's packages; a test that cannot have them is skipped."""
    apt = ["apt-get"] if os.geteuid() == 0 else ["sudo", "-n", "apt-get"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        try:
            subprocess.run([*apt, *command], check=True, capture_output=True, env=environment, timeout=600)
        except (OSError, subprocess.SubprocessError) as err:
            pytest.skip(f"apt-get could not install {' '.join(packages)}: {err}")
