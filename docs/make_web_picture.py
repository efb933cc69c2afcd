"""Make the picture of the web app again, as a phone shows it.

python -m docs.make_web_picture

Needs requirements-web.txt, requirements-dev.txt, Chromium and its driver. The camera of
the browser shows an example video: only a public-domain portrait is in the picture.
"""

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from docs.make_pictures import DOCS, ROOT
from tests.waiting import wait_for
from tests.web.web_server import (
    PASSWORD,
    frames_of,
    running,
    start_browser,
    write_film,
)

PHONE_WH = (390, 844)  # pixels of its screen
SHOWN_PX = 620  # of its height; nothing is below
GAP_PX = 12
LOOK_S = 4.0  # until a verdict is on the screen


def screens(folder: Path) -> list[np.ndarray]:
    """The visitor's page, and that of the face when signing up."""
    frames = frames_of(ROOT / "videos/real_1.mp4")
    film = write_film(folder / "film.mjpeg", frames)
    with running(folder) as server:
        browser = start_browser(film)
        try:
            # A window itself is never narrower than 500 pixels.
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {
                    "width": PHONE_WH[0],
                    "height": PHONE_WH[1],
                    "deviceScaleFactor": 1,
                    "mobile": True,
                },
            )
            browser.get(server.url)
            browser.find_element("id", "start").click()
            time.sleep(LOOK_S)
            shown = [browser.get_screenshot_as_png()]
            browser.get(f"{server.url}/signup")
            browser.find_element("id", "name").send_keys("Grace")
            browser.find_element("id", "password").send_keys(PASSWORD)
            browser.find_element("id", "consent").click()
            browser.find_element("css selector", "main form button").click()
            wait_for(lambda: browser.current_url.endswith("/face"))
            browser.find_element("id", "start").click()
            time.sleep(LOOK_S)
            shown.append(browser.get_screenshot_as_png())
        finally:
            browser.quit()
    return [cv2.imdecode(np.frombuffer(one, np.uint8), 1) for one in shown]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        left, right = (screen[:SHOWN_PX] for screen in screens(Path(folder)))
    gap = np.full((len(left), GAP_PX, 3), 128, np.uint8)
    cv2.imwrite(
        str(DOCS / "web.jpg"),
        np.hstack([left, gap, right]),
        [cv2.IMWRITE_JPEG_QUALITY, 88],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
