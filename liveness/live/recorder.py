"""Write the annotated pictures of a live run as a video."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np

from liveness.errors import OutputError
from liveness.live.overlay import fit_into
from liveness.live.view import View
from liveness.sources.ffmpeg import av

DEFAULT_FPS = 25.0  # of a live video, where the source does not tell its own rate
MAX_FPS = 120.0  # above that a live source's figure is not believed
MAX_REPEATS = 250  # of one picture, 10 s: a longer gap is shortened
CODEC = "libx264"  # H.264, which everything plays; in all of PyAV's wheels
# Quick enough for a live loop; without B-frames the first picture has time 0.
CODEC_OPTIONS = {"preset": "ultrafast", "crf": "22", "bf": "0"}
MIN_TICKS_PER_S = 10_000  # of the video's clock, for times between two frames
USUAL_DENOMINATOR = 1001  # of rates such as 30000/1001
BT709 = av.video.reformatter.Colorspace.ITU709
LIMITED = av.video.reformatter.ColorRange.MPEG


class VideoRecorder:
    """An MP4 of the annotated views; shows up under its name when it is closed.

    A file's frames are written one for one with their own times. A live source's
    pictures come when they come; each is repeated or left out so that the video has
    one rate and keeps their times.

    Args:
        path: Video to create or replace.
        fps: Rate of the source, None if it is not known. A live video gets
            DEFAULT_FPS instead of an unlikely figure.
        is_live: Whether pictures are repeated and left out to keep the time.

    Raises:
        OSError: If the folder does not exist or cannot be written.
    """

    def __init__(self, path: Path, *, fps: float | None, is_live: bool) -> None:
        self._path = path
        self._part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        try:
            self._file = self._part.open("wb")  # now, not after the camera is on
        except OSError as error:
            error.filename = str(path)  # the name users know
            raise
        highest = MAX_FPS if is_live else MIN_TICKS_PER_S
        is_likely = fps is not None and 1 <= fps <= highest
        rate = Fraction(fps if is_likely else DEFAULT_FPS)
        self._fps = rate.limit_denominator(USUAL_DENOMINATOR)
        # A whole number of ticks to a frame, so that a steady rate stays steady.
        finer = math.ceil(MIN_TICKS_PER_S / self._fps.numerator)
        self._ticks_per_s = self._fps.numerator * finer
        self._ticks_per_frame = self._fps.denominator * finer
        self._is_live = is_live
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._size_wh = (0, 0)
        self._first_s = 0.0
        self._written = 0
        self._last_tick = -1
        self._is_broken = False

    def __call__(self, view: View) -> bool:
        with self._one_clear_error():
            if self._stream is None:
                self._start(view)
            image = fit_into(view.annotated, self._size_wh)
            if not self._is_live:
                self._write(image, self._tick_of(view.time_s))
                return False
            for _ in range(self._repeats(view.time_s)):
                self._write(image, self._written * self._ticks_per_frame)
        return False

    def close(self) -> None:
        """Finish the video, also after an error; a run without frames has none.

        Raises:
            OutputError: If it was not written, as on a full disk.
        """
        try:
            if self._written and not self._is_broken:
                with self._one_clear_error():
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
                    self._file.close()
                    os.replace(self._part, self._path)
        finally:
            with suppress(OSError, av.FFmpegError):  # told already, if there was any
                self._file.close()
            self._part.unlink(missing_ok=True)

    def _start(self, view: View) -> None:
        """Open the encoder for pictures such as the first one."""
        height, width = view.frame.image.shape[:2]
        # The codec wants even sides.
        self._size_wh = max(2, width - width % 2), max(2, height - height % 2)
        self._first_s = view.time_s
        self._container = av.open(self._file, "w", format="mp4")
        stream = self._container.add_stream(CODEC, self._fps, CODEC_OPTIONS)
        stream.width, stream.height = self._size_wh
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.time_base = Fraction(1, self._ticks_per_s)
        codec.colorspace, codec.color_range = BT709, LIMITED
        codec.color_primaries = codec.color_trc = av.video.reformatter.ColorTrc.BT709
        self._stream = stream

    def _tick_of(self, time_s: float) -> int:
        """When a file's picture is shown; times that go back go on instead."""
        tick = round((time_s - self._first_s) * self._ticks_per_s)
        if tick < self._last_tick:
            tick = self._last_tick + self._ticks_per_frame
            self._first_s = time_s - tick / self._ticks_per_s
        return max(tick, self._last_tick + 1)

    def _write(self, image: np.ndarray, tick: int) -> None:
        """Encode a picture."""
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(image, format="bgr24"),
            format="yuv420p",
            dst_colorspace=BT709,
            dst_color_range=LIMITED,
        )
        frame.pts, frame.time_base = tick, Fraction(1, self._ticks_per_s)
        frame.duration = self._ticks_per_frame
        self._container.mux(self._stream.encode(frame))
        self._last_tick = tick
        self._written += 1

    def _repeats(self, time_s: float) -> int:
        """How often a live picture goes into the video, 0 to MAX_REPEATS."""
        due = round((time_s - self._first_s) * self._fps) + 1
        repeats = min(max(0, due - self._written), MAX_REPEATS)
        if repeats == MAX_REPEATS:  # what is left out of a gap is not made up for
            self._first_s = time_s - (self._written + repeats - 1) / self._fps
        return repeats

    @contextmanager
    def _one_clear_error(self) -> Iterator[None]:
        """Turn what FFmpeg and the disk raise into an OutputError."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._is_broken = True
            width, height = self._size_wh
            raise OutputError(
                f"cannot write video '{self._path}' of {width}x{height} pixels: "
                f"{(error.strerror or str(error)).lower()}"
            ) from error
