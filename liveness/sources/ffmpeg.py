"""PyAV, imported after OpenCV, and without lines of its own.

Both wheels bring libraries of X11. When PyAV's are loaded first, OpenCV's window
hangs on Linux for good; so everything here gets ``av`` from this module.
"""

import cv2  # noqa: F401, I001 - before av, see above
import av

__all__ = ["av"]

# FFmpeg's own lines name no file, and may hold a URL with its password.
av.logging.set_libav_level(av.logging.PANIC)
