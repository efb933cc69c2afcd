"""The window of the live apps, and the check that there is a screen for it."""

import os
import subprocess
import sys
import time
from types import ModuleType

from liveness.errors import OutputError
from liveness.live.overlay import draw_hint, fit_for_display
from liveness.live.view import View

QUIT_HINT = "press q to quit"
QUIT_KEYS = (ord("q"), ord("Q"), 27)  # 27 is Esc
SCREEN_ANSWERS_S = 10.0  # timeout; enough for a slow remote screen
MAX_KEY_WAIT_MS = 1000  # a gap in a file's times must not freeze the window

# Qt aborts the process if there is no screen, so a child process tries first.
_OPEN_A_WINDOW = "import cv2; cv2.namedWindow('screen', cv2.WINDOW_AUTOSIZE)"


def check_screen() -> None:
    """Make sure that a window can be opened.

    Raises:
        OutputError: If there is no screen, it does not respond, or OpenCV was
            built without window support.
    """
    advice = "use --no-display to run without a window"
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in names):
        raise OutputError(f"no screen: neither {' nor '.join(names)} is set; {advice}")
    try:
        subprocess.run(
            [sys.executable, "-c", _OPEN_A_WINDOW],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SCREEN_ANSWERS_S,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise OutputError(
            f"no screen: no answer for {SCREEN_ANSWERS_S:g} s; {advice}"
        ) from None
    except subprocess.CalledProcessError:
        raise OutputError(
            "no screen: cannot open a window on "
            f"{os.environ.get('DISPLAY') or 'this system'!r}; {advice}"
        ) from None


class Window:
    """Shows each view; ends the loop on q, Esc or a click on its close button.

    Args:
        title: Title of the window.
        gui: Module with OpenCV's window functions and constants.
        is_live: Whether the source is live; a file is shown at its own speed.
    """

    def __init__(self, title: str, gui: ModuleType, *, is_live: bool) -> None:
        self._title = title
        self._gui = gui
        self._is_live = is_live
        self._started: float | None = None  # time.monotonic() at time_s 0

    def __call__(self, view: View) -> bool:
        if self._started is None:  # without Qt's toolbar
            flags = self._gui.WINDOW_AUTOSIZE | self._gui.WINDOW_GUI_NORMAL
            self._gui.namedWindow(self._title, flags)
        image = draw_hint(fit_for_display(view.annotated), QUIT_HINT)
        self._gui.imshow(self._title, image)
        key = self._gui.waitKey(self._wait_ms(view.time_s)) & 0xFF
        visibility = self._gui.getWindowProperty(
            self._title, self._gui.WND_PROP_VISIBLE
        )
        return key in QUIT_KEYS or visibility < 1

    def close(self) -> None:
        """Close the window."""
        if self._started is not None:  # otherwise no window was opened
            self._gui.destroyAllWindows()

    def _wait_ms(self, time_s: float) -> int:
        """Return how long to wait for a key; a file's frame waits for its time."""
        now = time.monotonic()
        if self._started is None:
            self._started = now - time_s
        if self._is_live:
            return 1
        early_ms = round(1000 * (self._started + time_s - now))
        if early_ms > MAX_KEY_WAIT_MS:  # do not wait for the whole gap
            self._started -= (early_ms - MAX_KEY_WAIT_MS) / 1000
        return min(max(1, early_ms), MAX_KEY_WAIT_MS)
