"""Servers, and browsers with a film for a camera."""

import os
import shutil

import pytest

from liveness.constants import ROOT
from liveness.io.images import read_image

pytest.importorskip("flask", reason="needs requirements-web.txt")

from web_server import frames_of, running, write_film

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Without challenges, which no example film could pass."""
    with running(tmp_path_factory.mktemp("server"), "--challenge", "none") as server:
        yield server


@pytest.fixture
def fresh_server(tmp_path):
    """Like ``server``, with rate limits that nobody has used."""
    with running(tmp_path, "--challenge", "none") as server:
        yield server


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """Films for a camera by name."""
    folder = tmp_path_factory.mktemp("films")
    real, fake = (frames_of(ROOT / f"videos/{name}_1.mp4") for name in ("real", "fake"))
    other = read_image(ROOT / "images/reals/2.jpg")
    return {
        "real": write_film(folder / "real.mjpeg", real),
        "fake": write_film(folder / "fake.mjpeg", fake),
        "frozen": write_film(folder / "frozen.mjpeg", real[20:21] * 15),
        "other": write_film(folder / "other.mjpeg", [other] * 15),
    }


@pytest.fixture
def browse(films):
    """Opens a browser with a film for a camera; None has no camera."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
    from selenium import webdriver

    browsers = []

    def open_browser(film, *, size="1280,900", allowed=True):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        words = ["headless=new", "disable-gpu", "disable-dev-shm-usage"]
        words += [f"window-size={size}", "ignore-certificate-errors"]
        words += ["use-fake-device-for-media-stream"] if film else []
        if film:
            words.append(f"use-file-for-fake-video-capture={films[film]}")
        if allowed:
            words.append("use-fake-ui-for-media-stream")
        if hasattr(os, "getuid") and os.getuid() == 0:
            words.append("no-sandbox")
        for word in words:
            options.add_argument(f"--{word}")
        if not allowed:
            prefs = {"profile.default_content_setting_values.media_stream_camera": 2}
            options.add_experimental_option("prefs", prefs)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        browsers.append(browser)
        return browser

    yield open_browser
    for browser in browsers:
        browser.quit()
