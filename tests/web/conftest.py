"""Servers, and browsers with a film for a camera."""

import pytest

from liveness.constants import ROOT
from liveness.io.images import read_image

pytest.importorskip("flask", reason="needs requirements-web.txt")

from web_server import (
    CHROMIUM,
    DRIVER,
    frames_of,
    running,
    start_browser,
    write_film,
)


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
    browsers = []

    def open_browser(film, **options):
        browser = start_browser(films[film] if film else None, **options)
        browsers.append(browser)
        return browser

    yield open_browser
    for browser in browsers:
        browser.quit()
