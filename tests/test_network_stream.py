"""RTSP streams, from a camera on 127.0.0.1."""

import socket
import time
from fractions import Fraction

import cv2
import numpy as np
import pytest

from films import moving_bars, weave, write_film
from liveness.errors import SourceError
from liveness.sources import frames
from liveness.sources.frames import Frame, Waiting, open_source
from rtsp_server import RtspCamera


def pictures_of(source, count):
    shown = []
    while len(shown) < count:
        item = source.read()
        if isinstance(item, Frame):
            shown.append(item)
    return shown


@pytest.mark.parametrize("is_interlaced", [False, True])
def test_pictures_are_those_of_the_stream(tmp_path, is_interlaced):
    bars = moving_bars(80, size_wh=(160, 120))
    film = write_film(
        tmp_path / "a.ts",
        weave(bars) if is_interlaced else bars[::2],
        codec="mpeg2video",
        options={"qscale": "2", "g": "5", "bf": "0"},
        aspect=Fraction(4, 3),
        interlaced_from=0 if is_interlaced else None,
    )
    with RtspCamera(film.read_bytes(), seconds=1.5) as camera:
        with open_source(camera.url, timeout_s=5) as source:
            assert source.name.startswith("rtsp://127") and source.fps == 25
            shown = pictures_of(source, 10)
    wanted = [cv2.resize(image, (213, 120)) for image in bars[:30:2]]
    for frame in shown:
        differences = [cv2.absdiff(frame.image, image).mean() for image in wanted]
        assert min(differences) < 5
    times = [frame.time_s for frame in shown]
    assert (np.diff(times) > 0).all()


def test_a_stream_that_ends_is_connected_again(tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setattr(frames, "BACK_OFF_S", (0.05,))
    film = write_film(
        tmp_path / "a.ts", moving_bars(25), codec="mpeg2video", options={"g": "5"}
    )
    with RtspCamera(film.read_bytes(), seconds=0.3) as camera:
        with open_source(camera.url, timeout_s=5) as source:
            end = time.monotonic() + 10
            while camera.connections < 3 and time.monotonic() < end:
                assert isinstance(source.read(), Frame | Waiting)
            assert camera.connections >= 3
    assert "reconnecting" in caplog.text
    assert "s3cret" not in caplog.text + capfd.readouterr().err


def test_a_camera_that_never_answers(capfd):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://me:s3cret@127.0.0.1:{server.getsockname()[1]}/live"
        began = time.monotonic()
        with pytest.raises(SourceError, match="no answer") as error:
            open_source(url, timeout_s=1)
        assert time.monotonic() - began < 4
    assert "s3cret" not in str(error.value) + capfd.readouterr().err
