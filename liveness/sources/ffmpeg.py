"""Import PyAV after OpenCV, and silence FFmpeg's log.

Both wheels contain X11 libraries. If PyAV's are loaded first, OpenCV's window hangs
on Linux. Every module therefore imports ``av`` from here.
"""

import cv2  # noqa: F401, I001 - before av, see above
import av

__all__ = ["av"]

# FFmpeg's log lines name no file, and may contain a URL with its password.
av.logging.set_libav_level(av.logging.PANIC)
