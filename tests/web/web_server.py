"""A server as a process, and films for a browser's camera."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import requests

from liveness.constants import ROOT
from liveness.sources.video_file import VideoFile

MODEL = ["-m", str(ROOT / "models/liveness.h5")]
PASSWORD = "correct horse"
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


def make_certificate(folder: Path) -> list[str]:
    """Make a certificate as the docs say; returns the options that use it."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=liveness"
    command += " -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return ["--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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


def write_film(path: Path, frames: list[np.ndarray]) -> Path:
    """Write pictures as Chromium's camera takes them: JPEG after JPEG, in a circle."""
    path.write_bytes(b"".join(jpeg(frame) for frame in frames))
    return path


def frames_of(video: Path) -> list[np.ndarray]:
    with VideoFile(video) as source:
        return [frame.image for frame in iter(source.read, None)]


def jpeg(image: np.ndarray, *, quality: int = 92) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def start_browser(film: Path | None, *, size="1280,900", allowed=True):
    """Start Chromium without a window.

    Args:
        film: Of ``write_film``, for a camera; None for a machine without one.
        size: Width and height of the window in pixels.
        allowed: Whether pages may use the camera.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    words = ["headless=new", "disable-gpu", "disable-dev-shm-usage"]
    words += [f"window-size={size}", "ignore-certificate-errors"]
    if film:
        words.append("use-fake-device-for-media-stream")
        words.append(f"use-file-for-fake-video-capture={film}")
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
    return webdriver.Chrome(options, webdriver.ChromeService(DRIVER))


class Visitor:
    """A browser's session without a browser: cookies, forms and frames."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.verify = False
        self.session.trust_env = False  # else a bundle of its would be taken

    def get(self, path: str = "/", **options) -> requests.Response:
        return self.session.get(self.url + path, timeout=30, **options)

    def token(self, path: str = "/limits") -> str:
        return re.search(r'csrf-token" content="([^"]+)', self.get(path).text)[1]

    def post(self, path: str, **fields: str) -> requests.Response:
        data = {"csrf_token": self.token(), **fields}
        return self.session.post(self.url + path, data=data, timeout=30)

    def sign_up(self, name: str, password: str = PASSWORD) -> str:
        """Send the form; returns the path that frames go to."""
        page = self.post("/signup", name=name, password=password, consent="y")
        return frames_path(page.text)

    def log_in(self, name: str, password: str = PASSWORD) -> requests.Response:
        return self.post("/login", name=name, password=password)

    def begin_try(self) -> str:
        return self.post("/try").json()["url"]

    def frame(self, path: str, data: bytes, **headers: str) -> requests.Response:
        headers = {"Content-Type": "image/jpeg", "X-CSRFToken": self.token(), **headers}
        return self.session.post(self.url + path, data, headers=headers, timeout=30)

    def film(self, path: str, frames: list[bytes]) -> dict:
        """Send frames until the check is over; returns the last answer."""
        headers = {"Content-Type": "image/jpeg", "X-CSRFToken": self.token()}
        for data in itertools.islice(itertools.cycle(frames), 500):
            answer = self.session.post(
                self.url + path, data, headers=headers, timeout=30
            ).json()
            if answer["state"] != "looking":
                return answer
            time.sleep(0.08)
        raise AssertionError(answer)


def frames_path(page: str) -> str:
    found = re.search(r'data-url="(/check/[^"]+)"', page)
    assert found, page
    return found[1]
