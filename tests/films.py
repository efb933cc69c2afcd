"""Small films for the tests, made of the example videos or of drawn pictures."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from apps import ROOT
from liveness.sources.ffmpeg import av

BT2020 = {"colorspace": 9, "color_primaries": 9, "color_range": 1}
HLG = BT2020 | {"color_trc": 18}
PQ = BT2020 | {"color_trc": 16}
INTERLACED_FLAGS = 0x00040000 | 0x20000000  # AV_CODEC_FLAG_INTERLACED_DCT and _ME


def example(name: str, count: int, *, size_wh: tuple[int, int] = (640, 480)) -> list:
    """The first pictures of an example video: (H, W, 3) uint8, BGR."""
    with av.open(str(ROOT / "videos" / f"{name}.mp4")) as film:
        frames = [frame for frame, _ in zip(film.decode(video=0), range(count))]
    images = [frame.to_ndarray(format="bgr24") for frame in frames]
    return [cv2.resize(image, size_wh) for image in images]


def moving_bars(count: int, *, size_wh: tuple[int, int] = (160, 120)) -> list:
    """A white bar that moves to the right by a twentieth of the width at a time."""
    width, height = size_wh
    images = []
    for number in range(count):
        image = np.full((height, width, 3), 40, np.uint8)
        left = number % 15 * (width // 20)
        image[:, left : left + width // 4] = 220
        images.append(image)
    return images


def weave(images: list) -> list:
    """Interlaced pictures: the even lines of one, the odd ones of the next."""
    woven = []
    for first, second in zip(images[::2], images[1::2], strict=True):
        picture = first.copy()
        picture[1::2] = second[1::2]
        woven.append(picture)
    return woven


def write_film(
    path: Path,
    images: list,
    *,
    codec: str = "libx264",
    fps: float = 25,
    interlaced_from: int | None = None,
    times_s: list[float] | None = None,
    container: str | None = None,
    pix_fmt: str = "yuv420p",
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    colors: dict[str, int] | None = None,
) -> Path:
    """Write pictures as a film.

    Args:
        path: File to create.
        images: Of one size.
        codec: An encoder of FFmpeg.
        fps: Rate.
        interlaced_from: From this picture on they are flagged as interlaced.
        times_s: When each is shown, instead of the rate.
        container: A format of FFmpeg, if the name does not tell.
        pix_fmt: Of the film.
        aspect: Width of a pixel over its height.
        options: Of the encoder.
        colors: What the film says of its colours; the pictures are taken as they are.
    """
    base = Fraction(1, 90_000 if times_s else 1) / (1 if times_s else Fraction(fps))
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, Fraction(fps), options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        encoder = stream.codec_context
        encoder.time_base = base.limit_denominator(90_000)
        if aspect:
            encoder.sample_aspect_ratio = aspect
        if interlaced_from is not None:
            encoder.flags |= INTERLACED_FLAGS
        for name, value in (colors or {}).items():
            setattr(encoder, name, value)
        flag = _flagger(stream) if interlaced_from is not None else None
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(
                format=pix_fmt, **({"dst_colorspace": 9} if colors else {})
            )
            frame.time_base = encoder.time_base
            time_s = times_s[number] if times_s else number / fps
            frame.pts = round(time_s / encoder.time_base)
            for name, value in (colors or {}).items():
                setattr(frame, name, value)
            if flag is not None and number >= interlaced_from:
                flag.push(frame)
                frame = flag.pull()
                frame.time_base = encoder.time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _flagger(stream) -> "av.filter.Graph":
    """A filter that flags frames as interlaced, upper lines first."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=stream.width,
        height=stream.height,
        format=av.VideoFormat(stream.pix_fmt),
        time_base=stream.codec_context.time_base,
    )
    flag = graph.add("setfield", "tff")
    graph.link_nodes(source, flag, graph.add("buffersink")).configure()
    return graph
