"""A phone over HTTP on loopback: what works, every fault, and nothing left behind."""

import contextlib
import logging
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from ip_webcam_server import FakePhone, draw_numbered, encode, part, read_number
from liveness.errors import SourceError
from liveness.sources import frames
from liveness.sources.frames import Frame, Waiting, open_ip_webcam
from liveness.sources.ip_webcam import JpegSplitter, parse_address

SECRET = "s3cret+word"


def jpegs(count: int) -> list[bytes]:
    return [encode(draw_numbered(number)) for number in range(count)]


def read_frames(source, count: int, *, within_s: float = 8.0) -> list[Frame]:
    """Read that many frames, passing over Waiting."""
    got, end = [], time.monotonic() + within_s
    while len(got) < count:
        assert time.monotonic() < end, f"{len(got)} frames, state {source.state}"
        item = source.read()
        if isinstance(item, Frame):
            got.append(item)
    return got


def read_until_error(source, *, within_s: float = 8.0) -> tuple[str, list[Waiting]]:
    """Read until the source gives up; its message and the waiting before it."""
    waiting, end = [], time.monotonic() + within_s
    with pytest.raises(SourceError) as error:
        while time.monotonic() < end:
            item = source.read()
            if isinstance(item, Waiting):
                waiting.append(item)
    return str(error.value), waiting


def descriptors() -> set[str]:
    """Open sockets and files of this process, as /proc shows them."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """No thread and no socket outlives a source and its server."""
    threads = set(threading.enumerate())
    before = descriptors() if os.path.isdir("/proc/self/fd") else set()
    yield
    end = time.monotonic() + 3
    while time.monotonic() < end:
        left = set(threading.enumerate()) - threads
        opened = {name for name in descriptors() - before if "socket" in name}
        if not left and not opened:
            break
        time.sleep(0.02)
    assert not left and not opened


@pytest.fixture
def quick(monkeypatch):
    """Stalls and pauses of fractions of a second."""
    monkeypatch.setattr(frames, "STALL_S", 0.3)
    monkeypatch.setattr(frames, "LATE_S", 0.2)
    monkeypatch.setattr(frames, "POLL_S", 0.1)
    monkeypatch.setattr(frames, "BACK_OFF_S", (0.05, 0.1))


class TestSplitter:
    @pytest.mark.parametrize("step", [1, 7, 1000, 10**6])
    def test_finds_every_picture_however_it_arrives(self, step):
        pictures = jpegs(3)
        stream = b"".join(part(0, jpeg) for jpeg in pictures)
        splitter, got = JpegSplitter(), []
        for start in range(0, len(stream), step):
            got += splitter.feed(stream[start : start + step])
        assert got == pictures

    def test_a_picture_is_complete_with_its_last_byte(self):
        stream = part(0, jpegs(1)[0])
        splitter = JpegSplitter()
        assert splitter.feed(stream[:-1]) == []
        assert splitter.feed(stream[-1:]) == jpegs(1)

    @pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
    @pytest.mark.parametrize("step", [5, 10**6])
    def test_a_truncated_picture_costs_no_other(self, share, step):
        first, second, third = jpegs(3)
        cut = second[: int(len(second) * share)]
        stream = part(0, first) + part(0, cut) + part(0, third)
        splitter, got = JpegSplitter(), []
        for start in range(0, len(stream), step):
            got += splitter.feed(stream[start : start + step])
        assert got[0] == first and got[-1] == third and len(got) == 2

    def test_garbage_between_pictures_is_passed_over(self):
        first, second = jpegs(2)
        noise = np.random.default_rng(5).integers(0, 256, 50_000, np.uint8).tobytes()
        splitter = JpegSplitter()
        false_start = b"\xff\xd8\xff\xe0\x00\x04ab" + b"not a segment"
        got = splitter.feed(noise + part(0, first) + false_start + part(0, second))
        assert got[-2:] == [first, second]

    def test_a_thumbnail_inside_is_not_taken_for_the_picture(self):
        inner, outer = jpegs(2)
        length = (len(inner) + 2).to_bytes(2)
        whole = outer[:2] + b"\xff\xe1" + length + inner + outer[2:]
        assert JpegSplitter().feed(whole) == [whole]

    def test_endless_garbage_does_not_fill_the_memory(self, monkeypatch):
        monkeypatch.setattr("liveness.sources.ip_webcam.MAX_JPEG_BYTES", 10_000)
        splitter = JpegSplitter()
        splitter.feed(jpegs(1)[0][:500])
        for _ in range(100):
            splitter.feed(b"\x00" * 1000)
        assert len(splitter._data) <= 11_000
        assert splitter.feed(part(0)) == jpegs(1)


class TestAddress:
    def test_credentials_are_taken_out_of_name_and_repr(self):
        address = parse_address("http://me:s3cret%2Bword@phone:8080/video?x=1")
        assert (address.user, address.password) == ("me", SECRET)
        assert address.name == "http://phone:8080/video"
        assert address.target == "/video?x=1"
        assert "s3cret" not in repr(address) + address.name

    def test_given_user_wins_and_ipv6_keeps_its_brackets(self):
        address = parse_address("http://a:b@[::1]:80/", user="c", password="d")
        assert (address.user, address.password) == ("c", "d")
        assert address.name == "http://[::1]:80/"

    def test_signs_in_a_password_that_may_stand_as_they_are(self):
        address = parse_address("rtsp://me:a@b%c:d!e@host:554/live")
        assert (address.user, address.password) == ("me", "a@b%c:d!e")
        assert address.name == "rtsp://host:554/live"
        assert address.secret_url == "rtsp://me:a%40b%25c%3Ad%21e@host:554/live"

    @pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "rtsps"])
    @pytest.mark.parametrize("sign", ["@", "#", "?", "/", "%", " ", "@/", "\\", ":"])
    @pytest.mark.parametrize(
        "shape",
        [
            "me:s3cr{}wOrd@host:554/live",
            "me:123{}wOrd@host/live",  # reads as a host and its port
            "me:{}s3cr{}wOrd@host",
            "me:s3cr{}wOrd",
            "me:s3cr%40wOrd{}host/",
            "me:x@host/user=a_password=s3cr{}wOrd_channel=1.sdp",
            "host/live;s3cr;wOrd{}",
        ],
    )
    def test_no_piece_of_a_password_is_shown(self, scheme, sign, shape):
        url = f"{scheme}://{shape.replace('{}', sign)}"
        try:
            address = parse_address(url)
        except SourceError as error:
            shown = str(error).removesuffix("192.168.83.33:8080")
        else:
            shown = address.name + repr(address).replace(address.target, "")
        assert not [piece for piece in ("s3cr", "wOrd", "123") if piece in shown], shown

    @pytest.mark.parametrize(
        "url",
        [
            "192.168.1.2:8080",
            "me:s3cret@192.168.1.2:8080",
            "file://me:s3cret@host/etc/passwd",
            "ftp://me:s3cret@host",
            "http://",
            "http://me:s3cret@host:port/",
            "http://me:s3cret@ho st/",
            "http://me:s3cret@host/\r\nX: y",
            "http://me:s3cret@[::1/",
        ],
    )
    def test_a_bad_url_is_refused_without_its_password(self, url):
        with pytest.raises(SourceError, match="camera address") as error:
            parse_address(url)
        assert "s3cret" not in str(error.value)


class TestWorking:
    def test_frames_from_the_base_url(self):
        with FakePhone() as phone, open_ip_webcam(phone.url) as source:
            got = read_frames(source, 5)
            assert source.state == "live" and source.is_live
            numbers = [read_number(frame.image) for frame in got]
            assert numbers == sorted(set(numbers))
            assert [frame.index for frame in got] == numbers
            assert got[0].image.shape == (120, 160, 3)
            assert phone.requests[0] == "/video"

    @pytest.mark.parametrize("path", ["/video", "/shot.jpg", "/video?640x480"])
    def test_a_full_url_is_taken_as_it_is(self, path):
        with FakePhone() as phone, open_ip_webcam(phone.url + path) as source:
            read_frames(source, 3)
            assert set(phone.requests) == {path}

    @pytest.mark.parametrize("video", [404, 503, "html", "silent"])
    def test_shot_jpg_is_the_fallback(self, video):
        with (
            FakePhone(video=video) as phone,
            open_ip_webcam(phone.url, timeout_s=2) as source,
        ):
            numbers = [read_number(f.image) for f in read_frames(source, 4)]
            assert numbers == sorted(set(numbers))

    def test_half_pictures_among_the_single_ones(self):
        with (
            FakePhone(video=404, shot="truncated") as phone,
            open_ip_webcam(phone.url) as source,
        ):
            assert all(read_number(f.image) % 2 == 0 for f in read_frames(source, 3))

    @pytest.mark.parametrize("status", [404, "html", "silent"])
    def test_the_status_is_not_needed(self, status):
        with (
            FakePhone(status=status) as phone,
            open_ip_webcam(phone.url, timeout_s=4) as source,
        ):
            read_frames(source, 2)

    @pytest.mark.parametrize(
        ("orientation", "sent_wh", "top"),
        [
            ("landscape", (160, 120), "top"),
            ("portrait", (160, 120), "left"),
            ("upsidedown_portrait", (160, 120), "right"),
            ("portrait", (120, 160), "top"),  # the phone has turned it itself
            ("upsidedown", (160, 120), "top"),
            (["portrait"], (160, 120), "top"),
        ],
        ids=["wide", "portrait", "upside down portrait", "turned", "upside", "list"],
    )
    def test_pictures_are_upright_as_the_phone_is_set(self, orientation, sent_wh, top):
        image = np.zeros((*sent_wh[::-1], 3), np.uint8)
        sides = {"top": np.s_[:40], "left": np.s_[:, :40], "right": np.s_[:, -40:]}
        image[sides[top]] = 255  # what is to be at the top
        jpeg = encode(image)
        with (
            FakePhone(
                orientation=orientation, script=[lambda n: part(n, jpeg)]
            ) as phone,
            open_ip_webcam(phone.url) as source,
        ):
            (frame,) = read_frames(source, 1)
        shape = sent_wh if top != "top" else sent_wh[::-1]
        assert frame.image.shape[:2] == shape
        assert frame.image[:30].min() > 200 and frame.image[50:].max() < 50

    def test_a_change_of_resolution(self):
        def send(number):
            width = 160 if number < 10 else 320
            return part(0, encode(draw_numbered(number, width_px=width)))

        with FakePhone(script=[send]) as phone, open_ip_webcam(phone.url) as source:
            widths = [frame.image.shape[1] for frame in read_frames(source, 20)]
        assert {widths[0], widths[-1]} == {160, 320}

    def test_the_loop_stays_with_the_newest_frame(self):
        """200 ms of work per frame at 30 fps: the plain loop falls seconds behind."""
        with FakePhone(fps=30) as phone, open_ip_webcam(phone.url) as source:
            read_frames(source, 1)
            lags = []
            for _ in range(15):
                time.sleep(0.2)
                newest = phone.sent
                lags.append(newest - read_number(read_frames(source, 1)[0].image))
        assert max(lags) <= 2, lags
        assert phone.sent > 80  # and the phone was not slowed down


class TestAuthentication:
    @pytest.mark.parametrize("in_url", [True, False])
    def test_a_protected_phone(self, in_url, caplog):
        caplog.set_level(logging.DEBUG)
        with FakePhone(login=("me", SECRET)) as phone:
            url, options = phone.url, {"user": "me", "password": SECRET}
            if in_url:
                url = url.replace("://", "://me:s3cret%2Bword@")
                options = {}
            with open_ip_webcam(url, **options) as source:
                read_frames(source, 2)
                assert "s3cret" not in source.name + caplog.text

    @pytest.mark.parametrize("kind", ["Basic", "Digest", "Digest SHA-256"])
    @pytest.mark.parametrize("video", [200, 404], ids=["stream", "single pictures"])
    def test_each_kind_of_login(self, kind, video):
        login = ("mé", "pä:ss %41")
        with (
            FakePhone(login=login, kind=kind, video=video) as phone,
            open_ip_webcam(phone.url, user=login[0], password=login[1]) as source,
        ):
            read_frames(source, 4)
            assert {given.partition(" ")[0] for given in phone.logins} == {
                kind.partition(" ")[0]  # the password was never sent in the open
            }

    def test_a_nonce_that_ran_out(self):
        with (
            FakePhone(login=("me", "x"), kind="Digest", video=404) as phone,
            open_ip_webcam(phone.url, user="me", password="x") as source,
        ):
            read_frames(source, 2)
            phone.nonce = "n1"
            read_frames(source, 3)
            assert source.state == "live"

    @pytest.mark.parametrize("kind", ["Digest", "Digest SHA-256"])
    def test_a_wrong_password_is_tried_once(self, kind):
        with FakePhone(login=("me", "x"), kind=kind) as phone:
            with pytest.raises(SourceError, match="401: user and password rejected"):
                open_ip_webcam(phone.url, user="me", password="wrong")
            assert len(phone.logins) == 1

    def test_a_kind_of_login_that_is_not_known(self):
        with FakePhone(login=("me", "x"), kind="Negotiate") as phone:
            with pytest.raises(SourceError, match="login by negotiate; expected Basic"):
                open_ip_webcam(phone.url, user="me", password="x")

    @pytest.mark.parametrize("login", ["", "me:s3cret@"])
    def test_a_refusal_ends_at_once_without_the_password(self, login, caplog):
        caplog.set_level(logging.DEBUG)
        with FakePhone(login=("me", "other")) as phone:
            began = time.monotonic()
            with pytest.raises(SourceError, match="401: user and password") as error:
                open_ip_webcam(phone.url.replace("://", f"://{login}"))
        assert time.monotonic() - began < 1
        chain, texts = error.value, []
        while chain is not None:
            texts.append(f"{chain!r} {chain}")
            chain = chain.__cause__ or chain.__context__
        assert "s3cret" not in " ".join(texts) + caplog.text


class TestTls:
    @pytest.fixture
    def tls(self, tmp_path):
        """A self-signed certificate, made by openssl."""
        made = tmp_path / "key.pem", tmp_path / "certificate.pem"
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x"
        try:
            subprocess.run(
                [*command.split(), "-keyout", made[0], "-out", made[1]],
                check=True,
                capture_output=True,
            )
        except FileNotFoundError:
            pytest.skip("openssl is not installed")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made[1], made[0])
        return context

    def test_self_signed_only_by_an_explicit_option(self, tls):
        with FakePhone(tls=tls) as phone:
            with pytest.raises(SourceError, match="certificate cannot be verified"):
                open_ip_webcam(phone.url)
            with open_ip_webcam(phone.url, verify_tls=False) as source:
                read_frames(source, 3)


def answer_with(kind, body, *, length=False):
    """A camera's answer: a content type (None for none) and bytes, then the end."""

    def answer(handler):
        handler.send_response(200)
        if kind is not None:
            handler.send_header("Content-Type", kind)
        if length:
            handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


def redirect_to(location):
    """An answer that leads elsewhere."""

    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


class TestOddServers:
    @pytest.mark.parametrize("length", [True, False], ids=["length", "no length"])
    @pytest.mark.parametrize(
        "kind",
        [
            *("image/jpg", "Image/JPEG; charset=binary", "image/pjpeg"),
            *("application/octet-stream", "", None, "jpeg"),
        ],
    )
    def test_a_picture_by_another_name(self, kind, length, caplog):
        with (
            FakePhone(video=answer_with(kind, jpegs(1)[0], length=length)) as phone,
            open_ip_webcam(phone.url + "/video", timeout_s=3) as source,
        ):
            read_frames(source, 3)
            assert "reconnecting" not in caplog.text

    @pytest.mark.parametrize("kind", ["application/octet-stream", "", "video/x-mjpeg"])
    @pytest.mark.parametrize("wrap", [lambda jpeg: jpeg, lambda jpeg: part(0, jpeg)])
    def test_a_stream_by_another_name(self, kind, wrap, quick):
        def answer(handler):
            answer_with(kind, b"")(handler)
            for jpeg in jpegs(200):
                handler.wfile.write(wrap(jpeg))
                time.sleep(0.02)

        with (
            FakePhone(video=answer) as phone,
            open_ip_webcam(phone.url + "/video") as source,
        ):
            numbers = [read_number(frame.image) for frame in read_frames(source, 10)]
            assert numbers == sorted(set(numbers)) and len(phone.requests) == 1

    @pytest.mark.parametrize(
        ("kind", "body", "message"),
        [
            ("text/html", b"<html>", "sends text/html, not MJPEG or JPEG: open it"),
            ("video/mp4", b"\0" * 5000, "sends video/mp4, .* RTSP URL"),
            ("image/png", b"\x89PNG\r\n\x1a\n", "sends image/png"),
            ("", b"\0" * 9000, "sends no content type, and neither"),
            (None, b"", "sends no content type, and neither"),
            ("text/plain", b"camera is off", "sends text/plain, and neither"),
            ("x/\x1b[31m", b"", r"sends x/\?\[31m"),
        ],
    )
    def test_no_pictures_is_said(self, kind, body, message):
        with FakePhone(video=answer_with(kind, body)) as phone:
            with pytest.raises(SourceError, match=message):
                open_ip_webcam(phone.url + "/video", timeout_s=3)

    @pytest.mark.parametrize("drips", ["headers", "body"])
    def test_a_status_in_drips_does_not_delay(self, drips):
        def answer(handler):
            if drips == "body":
                answer_with("application/json", b"{")(handler)
            else:
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not phone._closing.wait(0.05):
                handler.wfile.write(b" ")

        with FakePhone(status=answer) as phone:
            began = time.monotonic()
            with open_ip_webcam(phone.url, timeout_s=4) as source:
                assert time.monotonic() - began < 1.5
                read_frames(source, 1)

    @pytest.mark.parametrize("where", ["/real?x=1", "real?x=1", "//{place}/real?x=1"])
    @pytest.mark.parametrize("kind", ["Basic", "Digest"])
    def test_a_redirect_on_the_same_server(self, where, kind):
        with FakePhone(login=("me", "x"), kind=kind) as phone:
            place = phone.url.partition("//")[2]
            phone.answers["/go"] = redirect_to(where.format(place=place))
            phone.answers["/real"] = answer_with("image/jpeg", jpegs(1)[0], length=True)
            with open_ip_webcam(phone.url + "/go", user="me", password="x") as source:
                read_frames(source, 3)
            assert "/real?x=1" in phone.requests

    def test_a_redirect_to_another_server_is_said_and_not_followed(self):
        with FakePhone() as other, FakePhone(login=("me", "x"), kind="Basic") as phone:
            phone.answers["/go"] = redirect_to(f"{other.url}/video?token=s3cret")
            message = f"answers 302 Found, to another server: use {other.url}/video if"
            with pytest.raises(SourceError, match=message) as error:
                open_ip_webcam(phone.url + "/go", user="me", password="x")
            assert other.requests == [] and "s3cret" not in str(error.value)

    @pytest.mark.parametrize(
        ("where", "message"),
        [
            ("/go", "redirect loop"),
            ("", "redirect loop"),
            ("file:///etc/passwd", "not to a camera's address"),
            ("http://me:s3/cret@host/", "not to a camera's address"),
        ],
    )
    def test_a_redirect_that_leads_nowhere(self, where, message):
        with FakePhone() as phone:
            phone.answers["/go"] = redirect_to(where)
            with pytest.raises(SourceError, match=message) as error:
                open_ip_webcam(phone.url + "/go")
            assert "s3" not in str(error.value)


class TestFirstConnection:
    def test_refused(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(SourceError, match="refused"):
            open_ip_webcam(f"http://127.0.0.1:{port}")
        assert time.monotonic() - began < 1

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (404, "video answers 404.*shot.jpg answers 404"),
            ("html", "text/html, not MJPEG or JPEG"),
            ("silent", "no answer for"),
            ("drip", "no answer for"),
        ],
    )
    def test_no_pictures(self, answer, message):
        with FakePhone(video=answer, shot=answer) as phone:
            began = time.monotonic()
            with pytest.raises(SourceError, match=message) as error:
                open_ip_webcam(phone.url, timeout_s=1)
        assert time.monotonic() - began < 2
        assert "\n" not in str(error.value)

    def test_not_even_http(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

            def answer():
                connection = server.accept()[0]
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

            thread = threading.Thread(target=answer)
            thread.start()
            with pytest.raises(SourceError, match="not a valid HTTP response"):
                open_ip_webcam(f"http://127.0.0.1:{port}/video", timeout_s=1)
            thread.join()


@pytest.mark.usefixtures("quick")
class TestFaults:
    def test_a_stream_of_garbage_ends_within_the_timeout(self):
        noise = np.random.default_rng(7).integers(0, 256, 5000, np.uint8).tobytes()
        with (
            FakePhone(script=[lambda number: noise]) as phone,
            open_ip_webcam(phone.url, timeout_s=1) as source,
        ):
            began = time.monotonic()
            message, waiting = read_until_error(source)
        assert "no picture for 1 s" in message and "s3cret" not in message
        assert time.monotonic() - began < 2 and waiting

    def test_garbage_and_truncated_pictures_between_good_ones(self):
        def send(number):
            if number % 3 == 1:
                return part(0, encode(draw_numbered(number))[:600])
            return b"\r\ngarbage\xff\xd8\xff\x00" + part(number)

        with FakePhone(script=[send]) as phone, open_ip_webcam(phone.url) as source:
            numbers = [read_number(f.image) for f in read_frames(source, 20)]
            assert phone.connections == 1
        assert all(number % 3 != 1 for number in numbers)
        assert numbers == sorted(set(numbers))

    @pytest.mark.parametrize("end", [None, b""], ids=["closes", "falls silent"])
    def test_a_stream_that_stops_in_the_middle_of_a_frame(self, end, caplog):
        caplog.set_level(logging.INFO)

        def send(number):
            return (part(number), part(number)[:300], end)[min(number // 5, 2)]

        with (
            FakePhone(script=[send, part]) as phone,
            open_ip_webcam(phone.url) as source,
        ):
            read_frames(source, 1)
            while phone.connections < 2:
                assert isinstance(source.read(), Frame | Waiting)
            read_frames(source, 5)
            assert source.state == "live"
        assert caplog.text.count("reconnecting") == 1
        assert caplog.text.count("reconnected") == 1

    @pytest.mark.parametrize("speed", [1, 20])
    def test_the_phone_gone_and_back(self, caplog, monkeypatch, speed):
        """For a moment, and for half a minute of a clock that runs fast."""
        clock = SimpleNamespace(monotonic=lambda: speed * time.monotonic())
        monkeypatch.setattr(frames, "time", clock)
        caplog.set_level(logging.INFO)
        with FakePhone() as phone:
            source = open_ip_webcam(phone.url)
            read_frames(source, 2)
        with source:
            states, longest_s, end = [], 0, time.monotonic() + 1.6
            while time.monotonic() < end:
                began = time.monotonic()
                item = source.read()
                longest_s = max(longest_s, time.monotonic() - began)
                if isinstance(item, Waiting):
                    states.append(item.state)
            (gone_s,) = re.findall(r"reconnecting: no picture for (\d+) s", states[-1])
            assert 1.2 * speed - 1 < int(gone_s) <= 2 * speed
            assert longest_s < 0.4
            with FakePhone(port=phone.port):
                read_frames(source, 3)
                assert source.state == "live"
                assert caplog.text.count("reconnecting") == 1

    def test_the_phone_gone_for_good(self):
        with FakePhone() as phone:
            source = open_ip_webcam(phone.url, timeout_s=1)
            read_frames(source, 2)
        with source:
            message, _ = read_until_error(source, within_s=3)
        assert "no picture for 1 s" in message and "refused" in message

    @pytest.mark.parametrize("at_once", [True, False])
    def test_a_frame_so_rare_that_the_stream_seems_dead(self, at_once):
        """One frame a minute against a stall of 5 s, in quick motion."""
        mine = threading.local()  # the server has a thread per connection

        def send(number):
            now = time.monotonic()
            last = getattr(mine, "last", -10.0 if at_once else now)
            mine.last = now if now - last >= 1.2 else last
            return part(number) if now == mine.last != last else b""

        with (
            FakePhone(script=[send]) as phone,
            open_ip_webcam(phone.url, timeout_s=4) as source,
        ):
            assert len(read_frames(source, 3)) == 3
            assert phone.connections <= 5

    def test_a_server_that_closes_after_each_frame_is_logged_once(self, caplog):
        caplog.set_level(logging.INFO)
        sent = []

        def send(number):
            sent.append(number)
            return part(number) if len(sent) % 2 else None

        with FakePhone(script=[send]) as phone, open_ip_webcam(phone.url) as source:
            read_frames(source, 6)
        assert caplog.text.count("reconnecting") == 1


class TestClosing:
    @pytest.mark.parametrize("when", ["streaming", "silent", "away"])
    def test_closing_takes_no_time_and_may_be_repeated(self, when):
        script = [lambda number: b""] if when == "silent" else []
        with FakePhone(script=script) as phone:
            source = open_ip_webcam(phone.url)
            if when == "away":
                phone.close()
                time.sleep(0.3)
            began = time.monotonic()
            source.close()
            source.close()
        assert time.monotonic() - began < 1
