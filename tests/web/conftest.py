"""A server as a process, and browsers with a film for a camera."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from liveness.constants import ROOT

pytest.importorskip("flask", reason="needs requirements-web.txt")

MODEL = ["-m", str(ROOT / "models/liveness.h5")]
START_S = 60  # of a server on a loaded machine
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")


@dataclass
class Server:
    """A running ``liveness_app_web.py``."""

    url: str
    folder: Path
    process: subprocess.Popen
    options: list[str]

    @property
    def database(self) -> Path:
        return self.folder / "web.sqlite"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def start_server(folder: Path, *options: str, port: int = 0) -> Server:
    command = [sys.executable, ROOT / "liveness_app_web.py", *MODEL]
    command += ["--port", str(port), "--database", folder / "web.sqlite", *options]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
        )
    line = process.stdout.readline()
    found = re.match(r"open (https?://\S+)", line)
    assert found, (line, (folder / "log").read_text())
    return Server(found[1], folder, process, list(options))


def stop_server(server: Server) -> int:
    server.process.send_signal(signal.SIGTERM)
    code = server.process.wait(30)
    server.process.stdout.close()
    return code


@contextlib.contextmanager
def running(folder: Path, *options: str):
    server = start_server(folder, *options)
    try:
        yield server
    finally:
        stop_server(server)


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


def write_film(path: Path, source: Path, *, only: int | None = None) -> Path:
    """Write a film as Chromium's camera takes it; it is shown again and again.

    Args:
        path: Ends in .mjpeg.
        source: A film or picture.
        only: Repeat this frame alone.
    """
    import av

    with av.open(str(source)) as film, av.open(str(path), "w", format="mjpeg") as out:
        stream = film.streams.video[0]
        target = out.add_stream("mjpeg", rate=stream.average_rate or 15)
        target.width, target.height = stream.width // 2 * 2, stream.height // 2 * 2
        target.pix_fmt = "yuvj420p"
        target.codec_context.qmin, target.codec_context.qmax = 2, 3
        frames = list(film.decode(stream))
        if only is not None:
            frames = [frames[only]] * 15
        for number, frame in enumerate(frames):
            picture = frame.reformat(target.width, target.height, "yuvj420p")
            picture.pts, picture.time_base = number, target.time_base
            out.mux(target.encode(picture))
        out.mux(target.encode())
    return path


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """Films for a camera by name."""
    folder = tmp_path_factory.mktemp("films")
    videos, images = ROOT / "videos", ROOT / "images"
    return {
        "real": write_film(folder / "real.mjpeg", videos / "real_1.mp4"),
        "fake": write_film(folder / "fake.mjpeg", videos / "fake_1.mp4"),
        "frozen": write_film(folder / "frozen.mjpeg", videos / "real_1.mp4", only=20),
        "other": write_film(folder / "other.mjpeg", images / "reals/3.jpg", only=0),
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


def wait_for(condition, limit_s=40):
    """Wait until something is true; returns it."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {limit_s} s")
