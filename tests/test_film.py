"""Films as cameras, recorders and editors write them."""

import json
import logging
import os
import subprocess
import sys
from fractions import Fraction

import cv2
import numpy as np
import PIL.Image
import pytest

import liveness_app
from apps import ROOT
from films import HLG, PQ, example, moving_bars, weave, write_film
from liveness.errors import SourceError
from liveness.live.tracks import FaceTracks
from liveness.sources.ffmpeg import av
from liveness.sources.frames import VideoFile

SMALL_WH = (320, 240)
MAX_COMBING = 10.0  # grey levels; interlaced bars have 30, a portrait has 7


def frames_of(path):
    with VideoFile(path) as film:
        return list(iter(film.read, None))


def assert_shows(frames, images, *, tolerance=5):
    """Each picture is that of its frame, up to coding, and none is combed."""
    assert len(frames) == len(images)
    for frame, image in zip(frames, images, strict=True):
        wanted = cv2.resize(image, frame.image.shape[1::-1])
        assert cv2.absdiff(frame.image, wanted).mean() < tolerance
        lines = frame.image.astype(int)
        combing = np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:]).mean()
        assert combing < MAX_COMBING


def labels_of(path, capsys):
    """The app's last label in each half second of a film."""
    assert (
        liveness_app.main(["--source", str(path), "--no-display", "--json-frames"]) == 0
    )
    labels = {}
    for line in capsys.readouterr().out.splitlines():
        told = json.loads(line)
        (face,) = told["faces"]
        labels[int(2 * told["time_s"])] = face["label"]
    return labels


X264 = {"preset": "ultrafast", "crf": "12"}
MPEG2 = {"qscale": "2", "b": "8M"}


class TestInterlaced:
    @pytest.mark.parametrize(
        ("name", "film"),
        [
            ("a.mp4", {"options": X264 | {"x264-params": "tff=1"}}),
            ("a.mpg", {"codec": "mpeg2video", "options": MPEG2}),
            ("a.ts", {"codec": "mpeg2video", "options": MPEG2, "container": "mpegts"}),
            ("a.avi", {"codec": "mpeg4", "options": MPEG2}),
            ("a.dv", {"codec": "dvvideo", "container": "dv"}),  # pixels are 16:15
        ],
        ids=["h264 mbaff", "mpeg2 ps", "mpeg2 ts", "mpeg4", "dv"],
    )
    def test_each_picture_is_that_of_its_frame(self, tmp_path, name, film):
        bars = moving_bars(16, size_wh=(720, 576))
        path = write_film(tmp_path / name, weave(bars), interlaced_from=0, **film)
        frames = frames_of(path)
        assert_shows(frames, bars[::2])
        assert [frame.time_s for frame in frames] == pytest.approx(np.arange(8) / 25)

    def test_progressive_frames_that_are_only_flagged_keep_their_detail(self, tmp_path):
        images = example("real_1", 6, size_wh=SMALL_WH)
        options = X264 | {"x264-params": "tff=1"}
        path = write_film(
            tmp_path / "a.mp4", images, interlaced_from=0, options=options
        )
        assert_shows(frames_of(path), images)

    @pytest.mark.parametrize("size_wh", [(160, 120), (200, 96)])
    def test_a_switch_in_mid_film(self, tmp_path, size_wh):
        bars = moving_bars(24, size_wh=(160, 120))
        others = moving_bars(24, size_wh=size_wh)
        options = {"options": X264 | {"x264-params": "tff=1", "bf": "0"}}
        first = write_film(tmp_path / "a.ts", bars[:6], **options)
        second = write_film(
            tmp_path / "b.ts", weave(others), interlaced_from=0, **options
        )
        path = tmp_path / "c.ts"
        both = first.read_bytes() + second.read_bytes()
        path.write_bytes(both + first.read_bytes())
        assert_shows(frames_of(path), [*bars[:6], *others[::2], *bars[:6]])

    def test_skipping_takes_the_same_pictures(self, tmp_path):
        path = write_film(
            tmp_path / "a.mpg",
            weave(moving_bars(24)),
            codec="mpeg2video",
            interlaced_from=0,
        )
        read = frames_of(path)
        with VideoFile(path) as film:
            assert all(film.skip() for _ in range(5))
            frame = film.read()
        assert (frame.index, frame.time_s) == (5, read[5].time_s)
        assert (frame.image == read[5].image).all()

    def test_verdicts_on_a_progressive_and_an_interlaced_part(self, tmp_path, capsys):
        options = {"codec": "mpeg2video", "fps": 16, "options": MPEG2}
        fake = weave([i for i in example("fake_1", 32) for _ in (0, 1)])
        real = write_film(tmp_path / "a.ts", example("real_1", 32), **options)
        fake = write_film(tmp_path / "b.ts", fake, interlaced_from=0, **options)
        path = tmp_path / "c.ts"
        path.write_bytes(real.read_bytes() + fake.read_bytes())
        labels = labels_of(path, capsys)
        assert labels[3] == "real" and labels[6] == labels[7] == "fake"


class TestTimes:
    def test_they_go_on_where_a_joined_film_starts_again(self, tmp_path):
        part = write_film(tmp_path / "a.ts", moving_bars(10), fps=10).read_bytes()
        (tmp_path / "b.ts").write_bytes(part * 3)
        times = [frame.time_s for frame in frames_of(tmp_path / "b.ts")]
        assert times == pytest.approx(np.arange(30) / 10)

    def test_a_fake_after_a_join_is_called_fake_within_a_second(self, tmp_path, capsys):
        parts = [
            write_film(tmp_path / f"{name}.ts", example(name, 40), fps=20)
            for name in ("real_1", "fake_1")
        ]
        (tmp_path / "b.ts").write_bytes(b"".join(p.read_bytes() for p in parts))
        labels = labels_of(tmp_path / "b.ts", capsys)
        assert labels[3] == "real" and labels[5] == labels[6] == "fake"

    def test_a_gap_stays_a_gap(self, tmp_path):
        times = [0, 0.1, 0.2, 60, 60.1]
        path = write_film(tmp_path / "a.mkv", moving_bars(5), times_s=times)
        assert [f.time_s for f in frames_of(path)] == pytest.approx(times, abs=0.001)

    @pytest.mark.parametrize(
        ("name", "codec", "fps"),
        [
            ("a.h264", "libx264", 25),
            ("a.h264", "libx264", 240),
            ("a.m4v", "mpeg4", 10),
            ("a.mjpeg", "mjpeg", 25),
        ],
    )
    def test_a_film_without_times_is_told(self, tmp_path, caplog, name, codec, fps):
        path = write_film(
            tmp_path / name,
            moving_bars(30),
            codec=codec,
            fps=fps,
            pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
            container=name.removeprefix("a."),
        )
        times = [frame.time_s for frame in frames_of(path)]
        assert times == pytest.approx(np.arange(30) / fps)
        (message,) = caplog.messages
        assert name in message and f"assuming {fps} frames per second" in message

    def test_tracking_starts_anew_when_a_clock_goes_back(self):
        from apps import ScriptedClassifier, ScriptedDetector

        classifier = ScriptedClassifier(score=0.9)
        detector = ScriptedDetector([(50, 50, 150, 150)])
        tracks = FaceTracks(detector, classifier, problem=lambda *_: "")
        rng = np.random.default_rng(0)
        image = rng.integers(0, 255, (240, 320, 3), np.uint8)
        for tick in range(20):
            (face,) = tracks.update(image, 1000 + tick / 10)
        assert face.label == "real"
        classifier.score = 0.1
        for tick in range(10):
            (face,) = tracks.update(image, tick / 10)
        assert face.label == "fake"


class TestStreamsInAFile:
    @pytest.fixture
    def cover(self):
        return av.VideoFrame.from_ndarray(
            np.full((480, 640, 3), 255, np.uint8), format="bgr24"
        ).reformat(format="yuvj420p")

    def test_a_cover_is_never_the_film(self, tmp_path, cover):
        with av.open(str(tmp_path / "a.mkv"), "w") as output:
            picture = output.add_stream("mjpeg", 25)
            film = output.add_stream("libx264", 25)
            picture.width, picture.height, picture.pix_fmt = 640, 480, "yuvj420p"
            film.width, film.height, film.pix_fmt = 160, 120, "yuv420p"
            output.mux(picture.encode(cover))
            for image in moving_bars(30):
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                output.mux(film.encode(frame))
            output.mux(film.encode(None))
        frames = frames_of(tmp_path / "a.mkv")
        assert_shows(frames, moving_bars(30))

    @pytest.mark.parametrize("first_wh", [(160, 120), (320, 240)])
    def test_of_two_films_the_larger_is_read_and_the_other_told(
        self, tmp_path, caplog, first_wh
    ):
        with av.open(str(tmp_path / "a.ts"), "w", format="mpegts") as output:
            films = [output.add_stream("mpeg2video", 25) for _ in range(2)]
            for film, size_wh in zip(films, (first_wh, (200, 150)), strict=True):
                film.width, film.height = size_wh
                film.pix_fmt = "yuv420p"
            for image in moving_bars(20):
                for film in films:
                    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                    frame = frame.reformat(film.width, film.height, "yuv420p")
                    output.mux(film.encode(frame))
            for film in films:
                output.mux(film.encode(None))
        frames = frames_of(tmp_path / "a.ts")
        assert len(frames) == 20
        assert frames[0].image.shape[1::-1] == max(first_wh, (200, 150))
        (message,) = caplog.messages
        assert "a.ts holds 2 videos" in message

    def test_a_joined_stream_that_goes_on_under_another_number_is_told(
        self, tmp_path, caplog
    ):
        parts = []
        for number in ("256", "512"):
            path = tmp_path / f"{number}.ts"
            options = {"mpegts_start_pid": number}
            with av.open(str(path), "w", container_options=options) as output:
                film = output.add_stream("libx264", 25)
                film.width, film.height, film.pix_fmt = 160, 120, "yuv420p"
                for image in moving_bars(20):
                    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                    output.mux(film.encode(frame))
                output.mux(film.encode(None))
            parts.append(path.read_bytes())
        (tmp_path / "a.ts").write_bytes(b"".join(parts))
        assert_shows(frames_of(tmp_path / "a.ts"), moving_bars(20))
        (message,) = caplog.messages
        assert "a.ts holds 2 videos" in message

    @pytest.mark.parametrize("with_cover", [True, False])
    def test_a_song_is_no_film(self, tmp_path, cover, with_cover, capsys):
        with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as output:
            sound = output.add_stream("aac", 8000)
            if with_cover:
                picture = output.add_stream("mjpeg", 25)
                picture.width, picture.height = 640, 480
                picture.pix_fmt = "yuvj420p"
                picture.disposition = av.stream.Disposition.attached_pic
                output.mux(picture.encode(cover))
            samples = np.zeros((1, 8192), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            frame.sample_rate = 8000
            output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
        with pytest.raises(SourceError, match="no video") as error:
            VideoFile(tmp_path / "a.m4a")
        assert ("cover" in str(error.value)) == with_cover


class TestPicture:
    @pytest.mark.parametrize(
        ("aspect", "shape"),
        [
            (Fraction(64, 45), (576, 1024, 3)),
            (Fraction(1, 2), (1152, 720, 3)),
            (Fraction(1, 1), (576, 720, 3)),
            (Fraction(200, 1), (576, 720, 3)),
        ],
        ids=["wide pixels", "high pixels", "square", "nonsense"],
    )
    @pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
    def test_pixels_become_square(self, tmp_path, name, aspect, shape):
        images = moving_bars(5, size_wh=(720, 576))
        path = write_film(tmp_path / name, images, aspect=aspect)
        frame = frames_of(path)[0]
        assert frame.image.shape == shape
        wanted = cv2.resize(images[0], shape[1::-1])
        assert cv2.absdiff(frame.image, wanted).mean() < 5

    @pytest.mark.parametrize(
        ("degrees", "is_mirrored"),
        [(0, True), (90, False), (180, False), (180, True), (-90, True)],
    )
    def test_turned_and_mirrored_films_are_upright(
        self, tmp_path, degrees, is_mirrored
    ):
        image = np.zeros((120, 160, 3), np.uint8)
        image[:40, :50] = 255  # the upper left
        turns = degrees // 90
        with av.open(str(tmp_path / "a.mp4"), "w") as output:
            stream = output.add_stream("libx264", 25)
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            matrix = np.array([[1, 0], [0, 1]])
            quarter = np.array([[0, -1], [1, 0]])  # anticlockwise on a screen
            for _ in range(turns % 4):
                matrix = matrix @ quarter
            if is_mirrored:
                matrix = matrix @ np.array([[-1, 0], [0, 1]])
            (a, b), (c, d) = (matrix * 65536).tolist()
            stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        wanted = np.rot90(image, turns)
        wanted = wanted[:, ::-1] if is_mirrored else wanted
        (shown,) = frames_of(tmp_path / "a.mp4")
        assert cv2.absdiff(shown.image, np.ascontiguousarray(wanted)).mean() < 4

    def test_a_picture_with_side_data_that_pyav_does_not_know(self, tmp_path):
        image = PIL.Image.fromarray(moving_bars(1)[0])
        exif = image.getexif()
        exif[0x0112] = 6  # turn it by 90 degrees clockwise
        image.save(tmp_path / "a.jpg", exif=exif)
        (frame,) = frames_of(tmp_path / "a.jpg")
        assert frame.image.shape == (160, 120, 3)

    def test_colours_are_those_of_opencv(self):
        capture = cv2.VideoCapture(str(ROOT / "videos" / "real_1.mp4"))
        with VideoFile(ROOT / "videos" / "real_1.mp4") as film:
            for _ in range(3):
                assert cv2.absdiff(film.read().image, capture.read()[1]).max() <= 3

    @pytest.mark.parametrize("colors", [HLG, PQ], ids=["HLG", "PQ"])
    def test_hdr_is_shown_as_on_a_screen(self, tmp_path, colors):
        image = example("real_1", 1, size_wh=SMALL_WH)[0]
        path = write_film(
            tmp_path / "a.mp4",
            [to_hdr(image, is_pq=colors is PQ)] * 2,
            pix_fmt="yuv420p10le",
            options=X264,
            colors=colors,
        )
        shown = frames_of(path)[0].image
        assert cv2.absdiff(shown, image).mean() < 6


def to_hdr(image, *, is_pq):
    """A picture in the signal of HDR, white at 203 candelas per square metre.

    Source: ITU-R BT.2100-2 for the curves, BT.2087-0 for the matrix, BT.2408 for
    the level of white.
    """
    to_2020 = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114]]
    to_2020.append([0.0164, 0.0880, 0.8956])
    light = (image[:, :, ::-1] / 255) ** 2.4 @ np.array(to_2020).T * 203
    if is_pq:
        power = (light / 10_000) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        light = np.maximum(light / 1000, 1e-9)
        luminance = light @ np.array([0.2627, 0.6780, 0.0593])
        scene = light * luminance[:, :, None] ** (1 / 1.2 - 1)
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        high = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    signal = np.clip(signal[:, :, ::-1] * 255, 0, 255)
    return np.ascontiguousarray(signal.round().astype(np.uint8))


class TestDamage:
    @pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.ts", "a.avi"])
    def test_whole_films_raise_no_alarm(self, tmp_path, caplog, name):
        codec = {"a.webm": "libvpx", "a.avi": "mpeg4"}.get(name, "libx264")
        frames_of(write_film(tmp_path / name, moving_bars(40), codec=codec))
        assert caplog.messages == []

    def test_a_variable_rate_raises_none(self, tmp_path, caplog):
        times = [*np.arange(0, 2, 0.04), 2, 2.5, 3, 4, 5, 6]
        path = write_film(
            tmp_path / "a.webm", moving_bars(len(times)), codec="libvpx", times_s=times
        )
        assert [f.time_s for f in frames_of(path)] == pytest.approx(times, abs=0.002)
        assert caplog.messages == []

    def test_a_lossless_trim_raises_none(self, tmp_path, caplog):
        path = write_film(tmp_path / "a.mp4", moving_bars(50), options={"bf": "0"})
        data = path.read_bytes()
        # The edit list: play 0.4 s from 0.8 s on. Movie 1/1000 s, media 1/12800 s.
        start = data.index(b"elst") + 12
        data = bytearray(data)
        data[start : start + 8] = (400).to_bytes(4) + (10_240).to_bytes(4)
        path.write_bytes(data)
        frames = frames_of(path)
        assert_shows(frames, moving_bars(30)[20:])
        assert frames[0].time_s == 0 and caplog.messages == []

    def test_a_film_cut_short_is_told(self, tmp_path, caplog):
        path = write_film(tmp_path / "a.mkv", moving_bars(50), options=X264)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        frames = frames_of(path)
        assert 10 < len(frames) < 40
        (message,) = [text for text in caplog.messages if "ends after" in text]
        assert str(path) in message and "of 2.0 s: is it damaged?" in message

    @pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video", "mjpeg"])
    def test_damaged_frames_are_never_shown(self, tmp_path, caplog, codec):
        rng = np.random.default_rng(5)
        noise = rng.integers(0, 60, (120, 160, 3), np.uint8)
        images = [cv2.add(image, noise) for image in moving_bars(60)]
        path = write_film(
            tmp_path / "a.mkv",
            images,
            codec=codec,
            pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
            options={"g": "20", "bf": "0", "b": "4M"}
            | ({"x264-params": "cabac=0"} if codec == "libx264" else {}),
        )
        data = bytearray(path.read_bytes())
        middle = len(data) * 5 // 12  # in the second group of pictures
        data[middle : middle + 400] = rng.bytes(400)
        path.write_bytes(data)
        with caplog.at_level(logging.WARNING):
            frames = frames_of(path)
        assert 20 <= len(frames) < 60
        for frame in frames:
            image = images[round(frame.time_s * 25)]
            assert cv2.absdiff(frame.image, image).mean() < 14
        assert f"{60 - len(frames)} damaged frame" in caplog.text


class TestNames:
    def test_a_name_that_is_not_utf_8(self, tmp_path):
        folder = os.fsencode(tmp_path / "in")
        os.mkdir(folder)
        name = os.fsdecode(folder + b"/caf\xe9.mp4")
        with (
            open(ROOT / "videos" / "real_1.mp4", "rb") as film,
            open(name, "wb") as out,
        ):
            out.write(film.read())
        with open(os.fsdecode(folder + b"/b.mp4"), "w") as bad:
            bad.write("hello")
        command = [
            sys.executable,
            str(ROOT / "collect_dataset.py"),
            "-i",
            tmp_path / "in",
        ]
        done = subprocess.run(
            [*command, "-o", tmp_path / "out"], capture_output=True, text=True
        )
        assert done.returncode == 1 and "saved: 7, unreadable: 1" in done.stdout
        (line,) = done.stderr.splitlines()
        assert "b.mp4" in line and "not a video file" in line
        table = (tmp_path / "out" / "crops.csv").read_text(encoding="utf-8")
        assert table.count("caf\\xe9.mp4#") == 7
        app = [sys.executable, str(ROOT / "liveness_app.py"), "--source", name]
        done = subprocess.run(
            [*app, "--no-display", "--time-limit", "1"], capture_output=True, text=True
        )
        assert done.returncode == 0 and "real" in done.stdout

    def test_a_playlist_in_disguise_leads_nowhere(self, tmp_path):
        film = write_film(tmp_path / "a.ts", moving_bars(10))
        path = tmp_path / "a.mp4"
        text = f"#EXTM3U\n#\1\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n"
        path.write_text(text)
        with pytest.raises(SourceError, match="not a video file"):
            VideoFile(path)
        path.write_text(f"ffconcat version 1.0\n#\1\nfile '{film}'\n")
        with pytest.raises(SourceError, match="not a video file"):
            VideoFile(path)
