"""Record the annotated frames of a live run as a video."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np

from liveness.errors import OutputError, reason_of
from liveness.live.overlay import fit_into
from liveness.live.view import View
from liveness.sources.ffmpeg import av

DEFAULT_FPS = 25.0  # of a live video if the source states no frame rate
MAX_FPS = 120.0  # a live source's stated frame rate above this is ignored
MAX_REPEATS = 250  # of one frame, i.e. 10 s; longer gaps are shortened
CODEC = "libx264"  # H.264, which every player supports; in all of PyAV's wheels
# Fast enough for a live loop. Without B-frames the first frame has time 0.
CODEC_OPTIONS = {"preset": "ultrafast", "crf": "22", "bf": "0"}
MIN_TICKS_PER_S = 10_000  # of the video's clock, to keep the time of each frame
USUAL_DENOMINATOR = 1001  # denominator of frame rates such as 30000/1001
BT709 = av.video.reformatter.Colorspace.ITU709
LIMITED = av.video.reformatter.ColorRange.MPEG


class VideoRecorder:
    """An MP4 file of the annotated views; it appears when the recorder is closed.

    The frames of a file are written one for one, with their own times. The frames of a
    live source arrive irregularly: they are repeated or dropped so that the video has
    a constant frame rate and the right times.

    Args:
        path: Video to create or replace.
        fps: Frame rate of the source; None if unknown. DEFAULT_FPS replaces an
            implausible rate.
        is_live: Whether frames are repeated and dropped to keep the time.

    Raises:
        OSError: If the folder does not exist or is not writable.
    """

    def __init__(self, path: Path, *, fps: float | None, is_live: bool) -> None:
        self._path = path
        self._part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        try:
            self._file = self._part.open("wb")  # now, before the camera is opened
        except OSError as error:
            error.filename = str(path)  # the name that users know
            raise
        highest = MAX_FPS if is_live else MIN_TICKS_PER_S
        is_plausible = fps is not None and 1 <= fps <= highest
        rate = Fraction(fps if is_plausible else DEFAULT_FPS)
        self._fps = rate.limit_denominator(USUAL_DENOMINATOR)
        # A whole number of ticks per frame, so that a constant rate stays constant.
        factor = math.ceil(MIN_TICKS_PER_S / self._fps.numerator)
        self._ticks_per_s = self._fps.numerator * factor
        self._ticks_per_frame = self._fps.denominator * factor
        self._is_live = is_live
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._size_wh = (0, 0)
        self._first_s = 0.0
        self._count = 0
        self._last_tick = -1
        self._is_broken = False

    def __call__(self, view: View) -> bool:
        with self._output_errors():
            if self._stream is None:
                self._start(view)
            image = fit_into(view.annotated, self._size_wh)
            if not self._is_live:
                self._write(image, self._tick_of(view.time_s))
                return False
            for _ in range(self._repeats(view.time_s)):
                self._write(image, self._count * self._ticks_per_frame)
        return False

    def close(self) -> None:
        """Finish the video; after an error or without frames, remove it.

        Raises:
            OutputError: If the video could not be written, e.g. on a full disk.
        """
        try:
            if self._count and not self._is_broken:
                with self._output_errors():
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
                    self._file.close()
                    os.replace(self._part, self._path)
        finally:
            with suppress(OSError, av.FFmpegError):  # reported already
                self._file.close()
            self._part.unlink(missing_ok=True)

    def _start(self, view: View) -> None:
        """Open the encoder for frames of the size of the first one."""
        height, width = view.frame.image.shape[:2]
        # The codec requires even sides.
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
        """Convert a time in a file to ticks; ticks increase even if times go back."""
        tick = round((time_s - self._first_s) * self._ticks_per_s)
        if tick < self._last_tick:
            tick = self._last_tick + self._ticks_per_frame
            self._first_s = time_s - tick / self._ticks_per_s
        return max(tick, self._last_tick + 1)

    def _write(self, image: np.ndarray, tick: int) -> None:
        """Encode a frame."""
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
        self._count += 1

    def _repeats(self, time_s: float) -> int:
        """Return how often a live frame is written to the video, 0 to MAX_REPEATS."""
        due = round((time_s - self._first_s) * self._fps) + 1
        repeats = min(max(0, due - self._count), MAX_REPEATS)
        if repeats == MAX_REPEATS:  # the rest of the gap is skipped
            self._first_s = time_s - (self._count + repeats - 1) / self._fps
        return repeats

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        """Convert errors of FFmpeg and the file system to an OutputError."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._is_broken = True
            width, height = self._size_wh
            raise OutputError(
                f"cannot write video '{self._path}' of {width}x{height} pixels: "
                f"{reason_of(error)}"
            ) from error
