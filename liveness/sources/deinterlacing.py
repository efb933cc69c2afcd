"""Whole pictures from interlaced frames.

An interlaced frame holds two half pictures (fields) of different moments, one in its
even and one in its odd lines. Shown as it is, whatever moves has combed edges.
"""

from collections import deque

from liveness.errors import SourceError
from liveness.sources.ffmpeg import av

# One picture for each frame; the frames that are flagged as interlaced only.
BWDIF_OPTIONS = "mode=send_frame:parity=auto:deint=interlaced"


class Deinterlacer:
    """Passes frames on; from the first interlaced one on through a filter.

    The filter looks at the frame before and the one after, so a frame comes out when
    the next one goes in.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._layout: tuple[int, int, str] | None = None
        self._times: deque[float] = deque()  # of the frames in the filter

    def feed(
        self, frame: av.VideoFrame, time_s: float
    ) -> list[tuple[av.VideoFrame, float]]:
        """Take the next frame in.

        Returns:
            What comes out, with its time: progressive frames as they are.

        Raises:
            SourceError: If frames of this size cannot be deinterlaced.
        """
        layout = (frame.width, frame.height, frame.format.name)
        done = []
        if self._graph is not None and layout != self._layout:
            done = self.flush()
        if self._graph is None:
            if not frame.interlaced_frame:
                return [*done, (frame, time_s)]
            self._graph, self._layout = _graph(frame), layout
        self._times.append(time_s)
        self._graph.push(frame)
        return done + self._pull()

    def flush(self) -> list[tuple[av.VideoFrame, float]]:
        """What is still in the filter, which starts anew after it."""
        if self._graph is None:
            return []
        self._graph.push(None)
        done = self._pull()
        self._graph = None
        self._times.clear()
        return done

    def _pull(self) -> list[tuple[av.VideoFrame, float]]:
        done = []
        while self._times:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):  # it waits for more; it is empty
                break
            done.append((frame, self._times.popleft()))
        return done


def _graph(frame: av.VideoFrame) -> av.filter.Graph:
    """The filter for frames such as this one."""
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
    except av.FFmpegError as error:  # it wants a few pixels at least
        raise SourceError(
            f"interlaced frames of {frame.width}x{frame.height} pixels cannot be "
            "deinterlaced"
        ) from error
    return graph
