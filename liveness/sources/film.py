"""The frames of a video file or stream, one after another, and when each is shown.

Of several streams the film is taken and not its cover. Interlaced frames are
deinterlaced, damaged ones are passed over, and times never go back.
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

DEFAULT_FPS = 25.0  # of a film that tells neither times nor rate; FFmpeg's own figure
BUFFER_BYTES = 1 << 20  # read from a file at a time
PROBED_PACKETS = 100  # looked at to tell a film from a cover
JITTER_FRAMES = 2  # times that go back by no more are inexact, not a new start
MAX_LEAD_S = 10.0  # of a stream's stated start before its first frame
WAIT_FRAMES = 300  # after damage for a key frame; encoders' usual limit is 250
NO_TIMES = 0x80  # AVFMT_NOTIMESTAMPS: FFmpeg's flag of formats that have none

COVER = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails


@dataclass(frozen=True)
class FilmFrame:
    """A decoded frame, not interlaced, and what is needed to show it."""

    image: av.VideoFrame
    time_s: float  # since the start of the film
    aspect: Fraction | None  # width of a pixel over its height


class Film:
    """An open film; iterating gives its frames.

    Args:
        source: An open binary file, or the URL of a stream.
        options: Of FFmpeg, for the stream's protocol.
        timeout_s: Without data for so long opening and reading fail; None waits.

    Attributes:
        fps: Rate that the film states, None if it does not.
        frame_count: How many frames it promises; 0 where it does not say.
        has_times: False for a bare stream of pictures, which has none.
        duration_s: How long it promises to be; None where it does not say.
        read_s: How long what was read so far is.
        damaged: How many frames were passed over so far.
        others: How many other films are beside it in a file.

    Raises:
        SourceError: If there is no film in it; the message is half a sentence.
        av.FFmpegError, OSError: If it cannot be opened.
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
        if self._is_file:  # a file leads to no other files and addresses
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
        # Frame threads are fastest; they hold a frame back each, so not in a stream.
        codec.thread_type = "AUTO" if self._is_file else "SLICE"
        if codec.name == "mjpeg":  # others say so when they mend a frame
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
        self._packets_s = 0.0  # up to where packets were read, of any stream

    def __iter__(self) -> Iterator[FilmFrame]:
        """The frames.

        Raises:
            av.FFmpegError, OSError: If reading fails, as when a stream breaks.
        """
        deinterlacer = Deinterlacer()
        for frame in self._sound_frames():
            time_s = self._clock.tell(frame)
            for image, shown_s in deinterlacer.feed(frame, time_s):
                yield FilmFrame(image, shown_s, self._aspect_now())
        for image, shown_s in deinterlacer.flush():
            yield FilmFrame(image, shown_s, self._aspect_now())

    @property
    def read_s(self) -> float:
        return max(self._clock.end_s, self._packets_s)

    @property
    def step_s(self) -> float:
        """Time that the newest frame is shown, as far as it is known."""
        return self._clock.step_s

    @property
    def longest_gap_s(self) -> float:
        """The longest time between two frames so far."""
        return self._clock.longest_gap_s

    def close(self) -> None:
        """Close it; may be called again."""
        self._container.close()

    def _sound_frames(self) -> Iterator[av.VideoFrame]:
        """Frames as they are decoded; after a damaged one from the next key frame."""
        waiting = 0
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.EOFError:
                return
            except av.FFmpegError:  # this one cannot be decoded; others may build on it
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
        """The film's packets; notes how far those of all streams reach."""
        # Sound may go on after the last picture. Where the film's own length is not
        # known, the file is whole if any of its streams reaches its end.
        counts_all = self._is_file and not self._stream.duration
        wanted = self._container.streams if counts_all else [self._stream]
        start_s = (self._container.start_time or 0) / av.time_base
        for packet in self._container.demux(list(wanted)):
            if counts_all and packet.pts is not None and packet.time_base:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self._packets_s = max(self._packets_s, float(end) - start_s)
            if packet.stream.index == self._stream.index:
                yield packet

    def _choose_stream(self, source: BinaryIO | str) -> Any:
        """The stream that is the film."""
        streams = self._container.streams
        known = [stream for stream in streams.video if stream.codec_context is not None]
        films = [stream for stream in known if not stream.disposition & COVER]
        if not films and (known or (streams.audio and not streams.video)):
            what = "a cover picture" if known else "sound"
            raise SourceError(f"it holds {what} and no film")
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
        """How often each stream is among the first packets: a cover only once."""
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
            return None  # FFmpeg would guess it from a bit rate
        if self._stream.duration:
            return float(self._stream.duration * self._stream.time_base)
        duration = self._container.duration
        return duration / av.time_base if duration else None

    def _frame_count(self) -> int:
        """By the index or by the time: an index counts what a trim cut off, too."""
        by_time = round((self.duration_s or 0) * (self.fps or 0))
        return min(filter(None, (self._stream.frames, by_time)), default=0)

    def _aspect_now(self) -> Fraction | None:
        """As the file says, unless it changed in the film itself."""
        aspect = _aspect(self._stream.codec_context)
        return self._aspect if aspect == self._first_aspect else aspect


class _Clock:
    """Times that never go back: where a film starts again, they go on.

    Args:
        step_s: From a frame to the next, where a frame does not say.
        start_s: Where the film says that it starts; None if it does not.
    """

    def __init__(self, step_s: float, start_s: float | None) -> None:
        self.end_s = self.longest_gap_s = 0.0
        self.step_s, self._usual_step_s, self._start_s = step_s, step_s, start_s
        self._last_s: float | None = None
        self._shift_s = 0.0  # from the film's stamps to the times

    def tell(self, frame: av.VideoFrame) -> float:
        """When a frame is shown, in seconds since the start."""
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
    """The default stream before others, then the largest."""
    is_default = bool(stream.disposition & av.stream.Disposition.default)
    return is_default, stream.codec_context.width * stream.codec_context.height


def _rate(stream: Any) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _aspect(codec: Any) -> Fraction | None:
    return codec.sample_aspect_ratio or None
