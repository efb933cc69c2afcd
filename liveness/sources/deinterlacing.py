"""Deinterlace frames.

An interlaced frame holds two fields of different moments, one in its even and one in
its odd lines. Without deinterlacing, whatever moves has combed edges.
"""

from collections import deque

from liveness.errors import SourceError
from liveness.sources.ffmpeg import av

# One picture per frame; only frames flagged as interlaced are changed.
BWDIF_OPTIONS = "mode=send_frame:parity=auto:deint=interlaced"


class Deinterlacer:
    """Filter for a sequence of frames; it starts at the first interlaced one.

    The filter uses the previous and the next frame, so it returns each frame when the
    next one arrives.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._layout: tuple[int, int, str] | None = None
        self._times: deque[float] = deque()  # times of the frames in the filter

    def feed(
        self, frame: av.VideoFrame, time_s: float
    ) -> list[tuple[av.VideoFrame, float]]:
        """Add the next frame.

        Returns:
            The frames that are ready, with their times; progressive ones unchanged.

        Raises:
            SourceError: If frames of this size cannot be deinterlaced.
        """
        layout = (frame.width, frame.height, frame.format.name)
        ready = []
        if self._graph is not None and layout != self._layout:
            ready = self.flush()
        if self._graph is None:
            if not frame.interlaced_frame:
                return [*ready, (frame, time_s)]
            self._graph, self._layout = _graph(frame), layout
        self._times.append(time_s)
        self._graph.push(frame)
        return ready + self._pull()

    def flush(self) -> list[tuple[av.VideoFrame, float]]:
        """Return the frames still in the filter and reset it."""
        if self._graph is None:
            return []
        self._graph.push(None)
        ready = self._pull()
        self._graph = None
        self._times.clear()
        return ready

    def _pull(self) -> list[tuple[av.VideoFrame, float]]:
        ready = []
        while self._times:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):  # more input needed; at the end
                break
            ready.append((frame, self._times.popleft()))
        return ready


def _graph(frame: av.VideoFrame) -> av.filter.Graph:
    """Build the filter graph for frames of this size and format."""
    graph = av.filter.Graph()
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=str(frame.time_base),
        pixel_aspect="1/1",
    )
    bwdif = graph.add("bwdif", BWDIF_OPTIONS)
    try:
        graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    except av.FFmpegError as error:  # bwdif has a minimum size
        raise SourceError(
            f"interlaced frames of {frame.width}x{frame.height} pixels cannot be "
            "deinterlaced"
        ) from error
    return graph
