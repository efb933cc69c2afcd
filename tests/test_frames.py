"""Video files, webcams (a stand-in for the camera) and the meter."""

import logging
import threading
import time

import cv2
import numpy as np
import pytest

from ip_webcam_server import draw_numbered, read_number
from liveness.errors import SourceError
from liveness.sources import frames, webcam
from liveness.sources.frames import (
    FpsMeter,
    Frame,
    VideoFile,
    Waiting,
    open_source,
    open_webcam,
)


def write_video(path, count, *, fps=10.0):
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (160, 120)
    )
    for number in range(count):
        writer.write(draw_numbered(number))
    writer.release()
    return path


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "vidéo 1.mp4", 20)


class TestVideoFile:
    def test_every_frame_in_order_however_slow_the_loop(self, video):
        with VideoFile(video) as source:
            assert source.fps == 10 and not source.is_live
            got = []
            while (frame := source.read()) is not None:
                got.append(frame)
                time.sleep(0.01)
            assert source.read() is None
        assert [read_number(frame.image) for frame in got] == list(range(20))
        assert [frame.index for frame in got] == list(range(20))
        assert [frame.time_s for frame in got] == pytest.approx(np.arange(20) / 10)

    def test_skipped_frames_count(self, video):
        with VideoFile(video) as source:
            assert source.skip() and source.skip()
            frame = source.read()
            assert (frame.index, read_number(frame.image)) == (2, 2)
            assert frame.time_s == pytest.approx(0.2)

    def test_the_rotation_tag_is_respected(self, video):
        """Turn the track's matrix in the file's header by 90 degrees."""
        data = bytearray(video.read_bytes())
        matrix = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes come before it
        one, none, minus = (1 << 16), 0, -(1 << 16)
        for place, value in enumerate((none, one, none, minus, none)):
            start = matrix + 4 * place
            data[start : start + 4] = value.to_bytes(4, signed=True)
        video.write_bytes(data)
        with VideoFile(video) as source:
            image = source.read().image
        assert image.shape == (160, 120, 3)
        assert read_number(np.rot90(image)) == 0

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "no such video file"),
            (b"", "the file is empty"),
            (b"hello, I am a text\n" * 100, "not a video file"),
            (b"#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1:1/a.ts\n", "not a video file"),
            (bytes(range(256)) * 20, "not a video file, or none"),
        ],
        ids=["missing", "empty", "text", "playlist", "noise"],
    )
    def test_no_video(self, tmp_path, content, message, capfd):
        path = tmp_path / "a.mp4"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SourceError, match=message) as error:
            VideoFile(path)
        assert str(path) in str(error.value)
        assert capfd.readouterr().err == ""

    def test_a_video_without_frames(self, tmp_path):
        with pytest.raises(SourceError, match="none of its frames"):
            VideoFile(write_video(tmp_path / "a.mp4", 0))

    def test_a_folder(self, tmp_path):
        with pytest.raises(SourceError, match="cannot read video"):
            VideoFile(tmp_path)

    def test_a_file_cut_short_is_read_to_the_cut(self, tmp_path, caplog):
        path = tmp_path / "a.avi"
        writer = cv2.VideoWriter(
            str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120)
        )
        for number in range(20):
            writer.write(draw_numbered(number))
        writer.release()
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        count = 0
        with caplog.at_level(logging.WARNING), VideoFile(path) as source:
            while source.read() is not None:
                count += 1
        assert 5 <= count < 15


class FakeCamera:
    """cv2.VideoCapture of one webcam that can be unplugged."""

    plugged_in = True
    gives_pictures = True
    opened = 0
    released = 0
    settings: dict = {}  # noqa: RUF012
    number = -1

    def __init__(self, source, backend):
        cls = type(self)
        cls.opened += 1
        cls.asked = source, backend
        self._open = cls.plugged_in and source == 0

    def isOpened(self):
        return self._open

    def set(self, key, value):
        type(self).settings[key] = value
        return True

    def get(self, key):
        return 50.0 if key == cv2.CAP_PROP_FPS else 0.0

    def read(self):
        cls = type(self)
        if not (self._open and cls.plugged_in and cls.gives_pictures):
            return False, None
        time.sleep(0.02)
        cls.number += 1
        return True, draw_numbered(cls.number)

    def release(self):
        self._open = False
        type(self).released += 1


@pytest.fixture
def camera(monkeypatch):
    kind = type("Camera", (FakeCamera,), {"settings": {}})
    monkeypatch.setattr(cv2, "VideoCapture", kind)
    monkeypatch.setattr(webcam, "RETRY_S", 0.01)
    monkeypatch.setattr(webcam, "_camera_numbers", lambda: [0, 1])
    monkeypatch.setattr(frames, "POLL_S", 0.1)
    monkeypatch.setattr(frames, "BACK_OFF_S", (0.05,))
    threads = set(threading.enumerate())
    yield kind
    assert set(threading.enumerate()) == threads
    assert kind.opened == kind.released


class TestWebcam:
    def test_newest_picture_and_requested_settings(self, camera):
        with open_webcam(0, backend="v4l2", size_wh=(640, 480), fps=50) as source:
            assert camera.asked == (0, cv2.CAP_V4L2)
            assert camera.settings[cv2.CAP_PROP_FRAME_WIDTH] == 640
            assert camera.settings[cv2.CAP_PROP_FRAME_HEIGHT] == 480
            assert camera.settings[cv2.CAP_PROP_FPS] == 50
            assert source.fps == 50 and source.name == "webcam 0"
            for _ in range(5):
                time.sleep(0.1)
                newest = camera.number
                assert newest - read_number(source.read().image) <= 2

    def test_no_such_camera(self, camera):
        with pytest.raises(SourceError, match="cannot open webcam 3"):
            open_webcam(3)

    def test_a_camera_that_is_in_use(self, camera):
        camera.gives_pictures = False
        with pytest.raises(SourceError, match="another program"):
            open_webcam(0)

    def test_unplugged_and_plugged_in_again(self, camera, caplog):
        with open_webcam(0, timeout_s=5) as source:
            assert isinstance(source.read(), Frame)
            camera.plugged_in = False
            while not isinstance(item := source.read(), Waiting):
                pass
            assert item.state.startswith("reconnecting: no picture")
            camera.plugged_in = True
            while not isinstance(source.read(), Frame):
                pass
            assert source.state == "live"
        assert caplog.text.count("unplugged?; reconnecting") == 1

    def test_unplugged_for_good(self, camera):
        with open_webcam(0, timeout_s=0.5) as source:
            camera.plugged_in = False
            with pytest.raises(SourceError, match="webcam 0: no picture for"):
                while True:
                    source.read()

    def test_a_fault_of_the_program_reaches_the_caller(self, camera, monkeypatch):
        with open_webcam(0) as source:

            def grab(stall_s):
                raise ZeroDivisionError("a bug")

            monkeypatch.setattr(source._connection, "grab", grab)
            with pytest.raises(ZeroDivisionError):
                while True:
                    source.read()

    def test_list(self, camera):
        found = webcam.list_cameras()
        assert [(c.number, c.width_px, c.height_px) for c in found] == [(0, 160, 120)]


class TestOpenSource:
    def test_by_its_words(self, camera, monkeypatch):
        for source in (0, "0"):
            with open_source(source) as opened:
                assert opened.name == "webcam 0"
        with pytest.raises(SourceError, match="webcam /dev/video9"):
            open_source("/dev/video9")
        with pytest.raises(SourceError, match=r"127\.0\.0\.1:1/video: .*refused"):
            open_source("http://127.0.0.1:1")
        with pytest.raises(SourceError, match="no such video file"):
            open_source("missing.mp4")

    def test_rtsp_hides_its_password(self, capfd):
        with pytest.raises(SourceError, match="cannot open rtsp://127") as error:
            open_source("rtsp://me:s3cret@127.0.0.1:1/live", timeout_s=2)
        assert "s3cret" not in str(error.value) + capfd.readouterr().err

    def test_a_missing_webcam_is_one_line(self, capfd):
        with pytest.raises(SourceError, match="cannot open webcam 97"):
            open_source(97)
        assert capfd.readouterr().err == ""


class TestFpsMeter:
    def test_counts_intervals_not_ticks(self):
        meter = FpsMeter()
        assert meter.fps == 0 and meter.tick(5.0) == 0
        assert [meter.tick(5.0 + n / 10) for n in (1, 2)] == pytest.approx([10, 10])

    def test_forgets_what_lies_before_the_window(self):
        meter = FpsMeter(window=5)
        for n in range(10):
            meter.tick(n)
        for n in range(5):
            meter.tick(9 + (n + 1) / 20)
        assert meter.fps == pytest.approx(20)
