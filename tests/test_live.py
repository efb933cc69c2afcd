"""The loop and each of its outputs, with stand-ins for source, judge and screen."""

import contextlib
import io
import json
import socket
import types

import cv2
import numpy as np
import pytest

from apps import ScriptedSource, frames, waiting
from liveness.errors import OutputError
from liveness.live import window as window_module
from liveness.live.lines import Decisions, EventLines, FrameLines, save_snapshot
from liveness.live.loop import run_live
from liveness.live.recorder import VideoRecorder
from liveness.live.view import View
from liveness.live.window import Window, check_screen
from liveness.model.verdicts import FaceVerdict
from liveness.sources.ffmpeg import av
from liveness.sources.frames import Frame, VideoFile

BOX = (50, 50, 150, 150)


def judge_by(labels):
    """A judge that gives the frame of each index its label; None is no face."""

    def judge(frame):
        label = labels[min(frame.index, len(labels) - 1)]
        if label is None:
            return []
        score = {"real": 0.9, "fake": 0.1, "checking": None}[label]
        return [FaceVerdict(BOX, 0.99, score, label, "", 1)]

    return judge


def run(items, labels, outputs, *, is_live=False, **options):
    source = ScriptedSource(items, is_live=is_live)
    return run_live(source, judge_by(labels), outputs, threshold=0.5, **options)


def lines_of(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_output_sees_every_frame_until_the_end():
    seen = []
    summary = run(frames(5), [None, "real"], [lambda view: seen.append(view)])
    assert [view.frame.index for view in seen] == [0, 1, 2, 3, 4]
    assert (summary.frames, summary.frames_with_faces) == (5, 4)
    assert summary.seconds == pytest.approx(0.4)


def test_an_output_ends_the_loop_after_the_others_were_served():
    seen = []
    run(frames(5), ["real"], [lambda view: True, lambda view: seen.append(view)])
    assert len(seen) == 1


def test_time_limit_counts_the_sources_time_also_while_it_waits():
    assert run(frames(50), ["real"], [], time_limit_s=1.0).frames == 11
    items = [*frames(2), waiting(1.0), waiting(2.0), *frames(50)]
    assert run(items, ["real"], [], time_limit_s=1.5, is_live=True).frames == 2


def test_while_waiting_the_last_picture_is_shown_with_the_state():
    views = []
    items = [waiting(1), *frames(1), waiting(3)]
    run(items, ["real"], [lambda view: views.append(view)], is_live=True)
    assert [view.waiting for view in views] == [
        "",
        "reconnecting: no picture for 3 s",
    ]
    assert not views[1].faces and (views[0].annotated != views[1].annotated).any()


def test_the_frame_itself_is_never_drawn_on():
    items = frames(1)
    before = items[0].image.copy()
    run(items[:], ["real"], [lambda view: view.annotated is None])
    assert (items[0].image == before).all()


def test_event_lines_tell_changes_and_one_a_second():
    stream = io.StringIO()
    labels = ["checking"] * 3 + ["real"] * 30 + [None]
    run(frames(40), labels, [EventLines(stream, as_json=True)])
    told = [(line["time_s"], line["label"]) for line in lines_of(stream)]
    assert told == [
        (0.0, "checking"),
        (0.3, "real"),
        (1.3, "real"),
        (2.3, "real"),
        (3.3, "gone"),
    ]
    assert lines_of(stream)[1] == {
        "time_s": 0.3,
        "box": list(BOX),
        "confidence": 0.99,
        "score": 0.9,
        "label": "real",
        "track": 1,
        "reason": "",
    }


def test_plain_lines_tell_changes_only():
    stream = io.StringIO()
    run(frames(40), ["checking", "fake"], [EventLines(stream, as_json=False)])
    assert stream.getvalue().splitlines() == [
        "   0.00 s  face 1  checking",
        "   0.10 s  face 1  fake      score 0.10",
    ]


def test_frame_lines_tell_every_frame_but_no_waiting():
    stream = io.StringIO()
    items = [*frames(2), waiting(1)]
    run(items, [None, "real"], [FrameLines(stream)], is_live=True)
    first, second = lines_of(stream)
    assert first == {"frame": 0, "time_s": 0.0, "threshold": 0.5, "faces": []}
    assert second["faces"][0]["label"] == "real"


def test_decisions_are_changes_to_real_or_fake():
    decided = []
    labels = ["checking", "real", "real", "checking", "real", "fake", "fake", "real"]
    act = Decisions(lambda view, face: decided.append((view.frame.index, face.label)))
    run(frames(8), labels, [act])
    assert decided == [(1, "real"), (5, "fake"), (7, "real")]


def test_the_status_never_hides_a_verdict():
    def upper_left(status, label):
        faces = [FaceVerdict((8, 0, 300, 200), 0.99, 0.6, label)]
        view = View(frames(1)[0], faces, 0.0, status, 0.5)
        return view.annotated[:12, 8:70]

    plain = upper_left([], "real")
    assert (upper_left(["36 fps  lag 28 ms  live"], "real") == plain).all()
    assert (upper_left([], "fake") != plain).any()


def test_snapshot_holds_the_annotated_picture(tmp_path):
    act = Decisions(lambda view, face: save_snapshot(tmp_path, view, face))
    run(frames(3), ["checking", "fake"], [act])
    (path,) = tmp_path.iterdir()
    assert path.name.endswith("_face1_fake.jpg")
    picture = cv2.imread(str(path)).astype(int)
    red = (picture[:, :, 2] > 180) & (picture[:, :, 1] < 110)
    assert picture.shape == (240, 320, 3) and red.sum() > 200


def video_of(path):
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    return capture.get(cv2.CAP_PROP_FPS), count


def test_a_file_is_recorded_frame_for_frame(tmp_path):
    recorder = VideoRecorder(tmp_path / "out.mp4", fps=10, is_live=False)
    run(frames(12), ["real"], [recorder])
    assert not (tmp_path / "out.mp4").exists()  # only the whole video has the name
    recorder.close()
    assert video_of(tmp_path / "out.mp4") == (10, 12)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_live_recording_keeps_the_time(tmp_path):
    image = np.zeros((100, 100, 3), np.uint8)
    times = [0.0, 0.04, 0.05, 0.06, 0.5, 2.0]
    items = [Frame(image, n, 5 + time_s, 0.0) for n, time_s in enumerate(times)]
    recorder = VideoRecorder(tmp_path / "out.mp4", fps=25, is_live=True)
    run(items, ["real"], [recorder], is_live=True)
    recorder.close()
    assert video_of(tmp_path / "out.mp4") == (25, 51)


def test_a_change_of_resolution_and_odd_sizes_are_recorded(tmp_path):
    recorder = VideoRecorder(tmp_path / "out.mp4", fps=10, is_live=False)
    items = frames(2, shape=(201, 301, 3)) + frames(2, shape=(300, 100, 3))
    run(items, [None], [recorder])
    recorder.close()
    assert video_of(tmp_path / "out.mp4") == (10, 4)


def test_no_frames_no_video_and_the_old_one_stays(tmp_path):
    old = tmp_path / "out.mp4"
    old.write_bytes(b"old")
    VideoRecorder(old, fps=10, is_live=False).close()
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]


def test_recording_into_a_missing_folder_fails_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        VideoRecorder(tmp_path / "missing" / "out.mp4", fps=10, is_live=False)


@contextlib.contextmanager
def full_disk():
    """Inside the block no file can grow beyond two kilobytes.

    The limit is the process's own: it ends with the block, or pytest could not write
    its report into a file either.
    """
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("count", [3, 60], ids=["at the end", "on the way"])
def test_a_video_that_broke_off_is_an_error_and_the_old_one_stays(tmp_path, count):
    old = tmp_path / "out.mp4"
    old.write_bytes(b"old")
    noise = np.random.default_rng(0).integers(0, 255, (count, 64, 64, 3), np.uint8)
    recorder = VideoRecorder(old, fps=10, is_live=False)
    refused = pytest.raises(OutputError, match=r"out\.mp4.* 64x64 .*file too large")
    with refused, full_disk():
        try:
            items = [Frame(image, n, n / 10, 0.0) for n, image in enumerate(noise)]
            run(items, [None], [recorder])
        finally:
            recorder.close()
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize(
    ("fps", "times"),
    [
        (240, np.arange(48) / 240),
        (30000 / 1001, np.arange(30) * 1001 / 30000),
        (16, [0, 0.063, 0.125, 0.375, 1.0, 1.063, 4.0, 4.063]),
        (None, [0, 0.5, 0.51, 2.0]),
        (0.25, [0, 4, 8, 12]),
    ],
    ids=["240 fps", "NTSC", "variable", "unknown", "time lapse"],
)
def test_a_recording_keeps_the_films_clock(tmp_path, fps, times):
    image = np.full((120, 160, 3), 60, np.uint8)
    items = [Frame(image, n, 3 + time_s, 0.0) for n, time_s in enumerate(times)]
    recorder = VideoRecorder(tmp_path / "out.mp4", fps=fps, is_live=False)
    run(items, [None], [recorder])
    recorder.close()
    with VideoFile(tmp_path / "out.mp4") as video:
        shown = [frame.time_s for frame in iter(video.read, None)]
    assert shown == pytest.approx(list(times), abs=2e-4)


def test_a_recording_plays_everywhere_and_keeps_the_colours(tmp_path):
    image = np.zeros((200, 301, 3), np.uint8)
    image[:, :100], image[:, 100:200], image[:, 200:] = (0, 0, 200), 60, (180, 90, 0)
    recorder = VideoRecorder(tmp_path / "out.mp4", fps=10, is_live=False)
    run([Frame(image, n, n / 10, 0.0) for n in range(3)], [None], [recorder])
    recorder.close()
    with av.open(str(tmp_path / "out.mp4")) as video:
        codec = video.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
    with VideoFile(tmp_path / "out.mp4") as video:
        shown = video.read().image
    for column in (50, 150, 250):
        assert np.abs(shown[150, column].astype(int) - image[150, column]).max() < 12


def fake_gui(keys=(), visible=1.0):
    """OpenCV's window functions; keys come from a list, shapes go into ``shown``."""
    keys, shown, opened = list(keys), [], []
    return types.SimpleNamespace(
        shown=shown,
        opened=opened,
        WND_PROP_VISIBLE=cv2.WND_PROP_VISIBLE,
        WINDOW_AUTOSIZE=cv2.WINDOW_AUTOSIZE,
        WINDOW_GUI_NORMAL=cv2.WINDOW_GUI_NORMAL,
        namedWindow=lambda title, flags: opened.append(flags),
        imshow=lambda title, image: shown.append(image.shape),
        waitKey=lambda wait_ms: keys.pop(0) if keys else -1,
        getWindowProperty=lambda title, number: visible,
        destroyAllWindows=lambda: None,
    )


@pytest.mark.parametrize("key", ["q", "Q", "\x1b"])
def test_window_ends_on_its_keys(key):
    window = Window("t", fake_gui([-1, ord("x"), ord(key)]), is_live=True)
    assert run(frames(9), ["real"], [window], is_live=True).frames == 3


def test_window_ends_when_it_is_closed():
    window = Window("t", fake_gui(visible=0.0), is_live=True)
    assert run(frames(9), ["real"], [window], is_live=True).frames == 1


def test_window_is_opened_once_without_a_toolbar():
    gui = fake_gui()
    run(frames(3), ["real"], [Window("t", gui, is_live=True)], is_live=True)
    (flags,) = gui.opened
    assert flags & cv2.WINDOW_GUI_NORMAL


def test_window_plays_on_at_its_speed_after_a_gap(monkeypatch):
    clock = types.SimpleNamespace(now=5.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(window_module, "time", clock)
    gui, waits = fake_gui(), []

    def wait_key(wait_ms):
        waits.append(wait_ms)
        clock.now += wait_ms / 1000
        return -1

    gui.waitKey = wait_key
    image = np.zeros((10, 10, 3), np.uint8)
    times = [0, 3600, 3600.04, 3600.08]
    items = [Frame(image, n, time_s, 0.0) for n, time_s in enumerate(times)]
    run(items, [None], [Window("t", gui, is_live=False)])
    assert waits[1:] == pytest.approx([1000, 40, 40], abs=1)


def test_only_what_is_shown_is_resized():
    views, gui = [], fake_gui()
    window = Window("t", gui, is_live=True)
    run(frames(1), ["real"], [window, lambda view: views.append(view)], is_live=True)
    assert gui.shown == [(720, 960, 3)] and views[0].annotated.shape == (240, 320, 3)


def test_no_screen_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(window_module.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(OutputError, match=r"DISPLAY.*--no-display"):
        check_screen()


def test_a_screen_that_is_not_there_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":7654")
    with pytest.raises(OutputError, match=r":7654.*--no-display"):
        check_screen()


def test_a_screen_that_never_answers_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(window_module, "SCREEN_ANSWERS_S", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1] - 6000
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{number}")
        with pytest.raises(OutputError, match=r"no answer for 1.5 s"):
            check_screen()
