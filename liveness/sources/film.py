"""Read the frames of a video file or stream, with the time of each.

If there are several streams, the video is chosen and not its cover picture.
Interlaced frames are deinterlaced, damaged ones are skipped, and times never go back.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

from liveness.errors import SourceError
from liveness.sources.deinterlacing import Deinterlacer
from liveness.sources.ffmpeg import av

DEFAULT_FPS = 25.0  # if a file states neither times nor rate; FFmpeg's own default
BUFFER_BYTES = 1 << 20  # read from a file at once
PROBED_PACKETS = 100  # read to tell a video from a cover picture
JITTER_FRAMES = 2  # a time that goes back by no more is imprecise, not a new start
MAX_LEAD_S = 10.0  # between the stated start of a stream and its first frame
WAIT_FRAMES = 300  # how long to wait for a key frame; encoders' usual limit is 250
NO_TIMES = 0x80  # AVFMT_NOTIMESTAMPS: FFmpeg's flag of formats without times

COVER = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails


@dataclass(frozen=True)
class FilmFrame:
    """A decoded, progressive frame, with its time and pixel aspect ratio."""

    image: av.VideoFrame
    time_s: float  # since the start of the video
    aspect: Fraction | None  # width of a pixel over its height


class Film:
    """An open video file or stream; iterate over it to get the frames.

    Args:
        source: An open binary file, or the URL of a stream.
        options: FFmpeg's options for the stream's protocol.
        timeout_s: Opening and reading fail after this time without data; None waits.

    Attributes:
        fps: Frame rate stated in the file; None if there is none.
        frame_count: Number of frames stated in the file; 0 if there is none.
        has_times: Whether frames have times; a raw video stream has none.
        duration_s: Duration stated in the file; None if there is none.
        read_s: Duration of what was read so far.
        damaged: Number of frames skipped so far because of damage.
        others: Number of other videos in the file.

    Raises:
        SourceError: If the source holds no video. The caller prefixes its name to
            the message.
        av.FFmpegError, OSError: If the source cannot be opened.
    """

    def __init__(
        self,
        source: BinaryIO | str,
        *,
        options: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self._is_file = not isinstance(source, str)
        options = dict(options or {})
        if self._is_file:  # a file may not refer to other files and URLs
            options["protocol_whitelist"] = "none"
        self._open = lambda: av.open(
            source,
            container_options=options,
            buffer_size=BUFFER_BYTES,
            timeout=timeout_s,
            metadata_errors="replace",
        )
        self._container = self._open()
        self.others = 0
        try:
            self._stream = self._choose_stream(source)
        except BaseException:
            self._container.close()
            raise
        stream, codec = self._stream, self._stream.codec_context
        # Frame threads are fastest, but each delays a frame: not for live streams.
        codec.thread_type = "AUTO" if self._is_file else "SLICE"
        if codec.name == "mjpeg":  # other decoders flag damaged frames
            codec.options = {"err_detect": "explode"}
        self.has_times = not self._container.format.flags & NO_TIMES
        self.fps = _rate(stream)
        self.duration_s = self._duration_s()
        self.frame_count = self._frame_count()
        self.damaged = 0
        self._aspect, self._first_aspect = stream.sample_aspect_ratio, _aspect(codec)
        start = (
            None if stream.start_time is None else stream.start_time * stream.time_base
        )
        self._clock = _Clock(1 / (self.fps or DEFAULT_FPS), start and float(start))
        self._packets_s = 0.0  # end of the packets read so far, in all streams

    def __iter__(self) -> Iterator[FilmFrame]:
        """Yield the frames in order.

        Raises:
            av.FFmpegError, OSError: If reading fails, e.g. because a stream breaks.
        """
        deinterlacer = Deinterlacer()
        for frame in self._intact_frames():
            frame_s = self._clock.tell(frame)
            for image, time_s in deinterlacer.feed(frame, frame_s):
                yield FilmFrame(image, time_s, self._aspect_now())
        for image, time_s in deinterlacer.flush():
            yield FilmFrame(image, time_s, self._aspect_now())

    @property
    def read_s(self) -> float:
        """Duration of what was read so far, in seconds."""
        return max(self._clock.end_s, self._packets_s)

    @property
    def step_s(self) -> float:
        """Duration of the newest frame in seconds, as far as it is known."""
        return self._clock.step_s

    @property
    def longest_gap_s(self) -> float:
        """Longest time between two frames so far, in seconds."""
        return self._clock.longest_gap_s

    def close(self) -> None:
        """Close the source; it is safe to call this twice."""
        self._container.close()

    def _intact_frames(self) -> Iterator[av.VideoFrame]:
        """Decode frames; after a damaged one, resume at the next key frame."""
        waiting = 0
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.EOFError:
                return
            except av.FFmpegError:  # damaged, and later frames may depend on it
                self.damaged += 1
                waiting = WAIT_FRAMES
                continue
            for frame in frames:
                if frame.is_corrupt:
                    waiting = WAIT_FRAMES
                elif frame.key_frame or waiting == 0:
                    waiting = 0
                    yield frame
                    continue
                else:
                    waiting -= 1
                self.damaged += 1

    def _packets(self) -> Iterator[av.Packet]:
        """Yield the video's packets and record where the packets of all streams end."""
        # Sound may continue after the last frame. If the duration of the video stream
        # is unknown, the file is complete when any of its streams reaches the end.
        counts_all = self._is_file and not self._stream.duration
        streams = self._container.streams if counts_all else [self._stream]
        start_s = (self._container.start_time or 0) / av.time_base
        for packet in self._container.demux(list(streams)):
            if counts_all and packet.pts is not None and packet.time_base:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self._packets_s = max(self._packets_s, float(end) - start_s)
            if packet.stream.index == self._stream.index:
                yield packet

    def _choose_stream(self, source: BinaryIO | str) -> Any:
        """Choose the stream that holds the video."""
        streams = self._container.streams
        pictures = [stream for stream in streams.video if stream.codec_context]
        films = [stream for stream in pictures if not stream.disposition & COVER]
        if not films and (pictures or (streams.audio and not streams.video)):
            content = "a cover picture" if pictures else "sound"
            raise SourceError(f"it holds only {content}, no video")
        if not films:
            raise SourceError("none of its frames can be decoded")
        if len(films) > 1 and self._is_file:
            counts = self._count_packets(films)
            self._container.close()
            source.seek(0)
            self._container = self._open()
            self.others = sum(count != 1 for count in counts.values()) - 1
            more = [number for number, count in counts.items() if count > 1]
            films = [self._container.streams[number] for number in more or counts]
        return max(films, key=_preference)

    def _count_packets(self, streams: list[Any]) -> Counter[int]:
        """Count the first packets of each stream; a cover picture has only one."""
        counts: Counter[int] = Counter(stream.index for stream in streams)
        counts.subtract(counts)
        with suppress(av.FFmpegError):
            for packet in self._container.demux(streams):
                counts[packet.stream.index] += packet.size > 0
                if counts.total() >= PROBED_PACKETS:
                    break
        return counts

    def _duration_s(self) -> float | None:
        if not self.has_times:
            return None  # FFmpeg would estimate it from the bit rate
        if self._stream.duration:
            return float(self._stream.duration * self._stream.time_base)
        duration = self._container.duration
        return duration / av.time_base if duration else None

    def _frame_count(self) -> int:
        """Return the smaller count, as the index also counts frames cut by trimming."""
        by_time = round((self.duration_s or 0) * (self.fps or 0))
        return min(filter(None, (self._stream.frames, by_time)), default=0)

    def _aspect_now(self) -> Fraction | None:
        """Return the file's aspect ratio, unless the codec's own one has changed."""
        aspect = _aspect(self._stream.codec_context)
        return self._aspect if aspect == self._first_aspect else aspect


class _Clock:
    """Frame times that never go back; they continue if the time stamps start over.

    Args:
        step_s: Duration of a frame that states none.
        start_s: Start time stated in the file; None if there is none.
    """

    def __init__(self, step_s: float, start_s: float | None) -> None:
        self.end_s = self.longest_gap_s = 0.0
        self.step_s, self._usual_step_s, self._start_s = step_s, step_s, start_s
        self._last_s: float | None = None
        self._shift_s = 0.0  # added to time stamps to get times

    def tell(self, frame: av.VideoFrame) -> float:
        """Return the time of a frame in seconds since the start."""
        step_s = self._usual_step_s
        if frame.duration and frame.time_base:
            step_s = float(frame.duration * frame.time_base)
        time_s = self._time_of(frame.time, step_s)
        if self._last_s is not None:
            self.longest_gap_s = max(self.longest_gap_s, time_s - self._last_s)
        self._last_s, self.end_s, self.step_s = time_s, time_s + step_s, step_s
        return time_s

    def _time_of(self, stamp_s: float | None, step_s: float) -> float:
        last_s = self._last_s
        if stamp_s is None:
            return 0.0 if last_s is None else last_s + step_s
        if last_s is None:
            start_s = stamp_s if self._start_s is None else self._start_s
            if not 0 <= stamp_s - start_s <= MAX_LEAD_S:
                start_s = stamp_s
            self._shift_s = -start_s
            return stamp_s - start_s
        time_s = stamp_s + self._shift_s
        if time_s >= last_s - JITTER_FRAMES * step_s:
            return max(time_s, last_s)
        self._shift_s = last_s + step_s - stamp_s
        return last_s + step_s


def _preference(stream: Any) -> tuple[bool, int]:
    """Return the sort key of a stream: default streams first, then larger ones."""
    is_default = bool(stream.disposition & av.stream.Disposition.default)
    return is_default, stream.codec_context.width * stream.codec_context.height


def _rate(stream: Any) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _aspect(codec: Any) -> Fraction | None:
    return codec.sample_aspect_ratio or None
