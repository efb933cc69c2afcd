"""Attacks on the web app by HTTP, on a server as people run it."""

import contextlib
import json
import random
import re
import socket
import sqlite3
import stat
import statistics
import struct
import time

import cv2
import numpy as np
import pytest
import requests
from web_server import (
    PASSWORD,
    Visitor,
    frames_of,
    frames_path,
    jpeg,
    make_certificate,
    running,
)

from liveness.constants import ROOT
from liveness.io.images import read_image
from liveness.web.face_checks import IDLE_S, MOST_CHECKS, NOT_LET_IN, NOT_LIVE
from liveness.web.pages import WRONG
from liveness.web.server import THREADS, TIMEOUT_S


@pytest.fixture(scope="session")
def real():
    return [jpeg(frame) for frame in frames_of(ROOT / "videos/real_1.mp4")[:60]]


@pytest.fixture(scope="session")
def other():
    return [jpeg(read_image(ROOT / "images/reals/2.jpg"))]


def without_tokens(page):
    return re.sub(r'(content|value)="I[^"]+"', "", page)


def accounts(server):
    with sqlite3.connect(server.database) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM account")]


def attempts(server):
    with sqlite3.connect(server.database) as connection:
        return [row[0] for row in connection.execute("SELECT result FROM attempt")]


class TestSecondFactor:
    def test_password_alone_opens_nothing(self, fresh_server, real):
        visitor = Visitor(fresh_server.url)
        assert visitor.film(visitor.sign_up("Grace"), real)["state"] == "passed"
        assert "Hello, Grace" in visitor.get().text
        thief = Visitor(fresh_server.url)
        page = thief.log_in("Grace")
        assert "Now your face" in page.text
        assert "Hello" not in thief.get().text
        for path in ("/export", "/delete"):
            assert thief.get(path).url.startswith(f"{fresh_server.url}/login")

    def test_posts_of_an_earlier_success_are_good_for_nothing(self, fresh_server, real):
        visitor = Visitor(fresh_server.url)
        path = visitor.sign_up("Grace")
        assert visitor.film(path, real)["state"] == "passed"
        visitor.post("/logout")
        path = frames_path(visitor.log_in("Grace").text)
        cookies = visitor.session.cookies.copy()
        token = visitor.token()
        assert visitor.film(path, real)["next"] == "/"
        visitor.post("/logout")
        replay = Visitor(fresh_server.url)
        replay.session.cookies = cookies  # of before the success
        headers = {"Content-Type": "image/jpeg", "X-CSRFToken": token}
        for data in real[:5]:
            answer = replay.session.post(
                replay.url + path, data, headers=headers, timeout=30
            )
            assert (answer.status_code, answer.json()["state"]) == (404, "gone")
        assert "Hello" not in replay.get().text

    def test_nonce_of_another_session(self, fresh_server, real):
        owner, thief = Visitor(fresh_server.url), Visitor(fresh_server.url)
        path = owner.sign_up("Grace")
        for data in real[:5]:
            assert thief.frame(path, data).status_code == 404
        assert owner.film(path, real)["state"] == "passed"
        assert "Hello" not in thief.get().text

    def test_somebody_else_with_the_password(self, fresh_server, real, other):
        visitor = Visitor(fresh_server.url)
        visitor.film(visitor.sign_up("Grace"), real)
        visitor.post("/logout")
        thief = Visitor(fresh_server.url)
        answer = thief.film(frames_path(thief.log_in("Grace").text), other)
        assert (answer["state"], answer["message"]) == ("failed", NOT_LET_IN)
        # Nothing says how near it was, or that the face was live.
        assert set(answer["faces"][0]) == {"box"}
        assert attempts(fresh_server) == [
            *("signed up", "right password", "face refused"),
        ]

    def test_only_known_people_sign_up_under_their_name(self, tmp_path, real, other):
        from liveness.faces.detector import FaceDetector
        from liveness.people.enrolment import encode_picture
        from liveness.people.identity import KnownFaces, save_known

        detector = FaceDetector(ROOT / "face_detector")
        encoding = encode_picture(ROOT / "images/reals/1.jpg", detector)
        save_known(tmp_path / "known.npz", KnownFaces(("Grace",), encoding[np.newaxis]))
        options = ["--challenge", "none", "--known", tmp_path / "known.npz"]
        with running(tmp_path, *options) as server:
            for name, film in (("Grace", other), ("Eileen", real)):
                visitor = Visitor(server.url)
                answer = visitor.film(visitor.sign_up(name), film)
                assert (answer["state"], answer["message"]) == ("failed", NOT_LIVE)
            visitor = Visitor(server.url)
            assert visitor.film(visitor.sign_up("Grace"), real)["state"] == "passed"
            assert accounts(server) == ["Grace"]


class TestSessions:
    def test_fixed_session_is_not_logged_in(self, fresh_server, real):
        attacker = Visitor(fresh_server.url)
        attacker.get()
        victim = Visitor(fresh_server.url)
        victim.session.cookies = attacker.session.cookies.copy()
        assert victim.film(victim.sign_up("Grace"), real)["state"] == "passed"
        assert "Hello, Grace" in victim.get().text
        assert "Hello" not in attacker.get().text

    def test_cookie_of_before_logging_out(self, fresh_server, real):
        visitor = Visitor(fresh_server.url)
        visitor.film(visitor.sign_up("Grace"), real)
        thief = Visitor(fresh_server.url)
        thief.session.cookies = visitor.session.cookies.copy()
        assert "Hello, Grace" in thief.get().text  # so that the test can fail
        visitor.post("/logout")
        assert "Hello" not in thief.get().text

    def test_stolen_cookie_in_another_browser(self, fresh_server, real):
        visitor = Visitor(fresh_server.url)
        visitor.film(visitor.sign_up("Grace"), real)
        thief = Visitor(fresh_server.url)
        thief.session.cookies = visitor.session.cookies.copy()
        thief.session.headers["User-Agent"] = "another"
        assert "Hello" not in thief.get().text

    @pytest.mark.parametrize("path", ["/login", "/signup", "/try", "/check/x"])
    def test_forged_request(self, server, path):
        visitor = Visitor(server.url)
        visitor.get()
        fields = {"name": "Grace", "password": PASSWORD, "consent": "y"}
        answer = visitor.session.post(server.url + path, data=fields, timeout=30)
        assert answer.status_code == 400
        assert "did not come from this site" in answer.text

    def test_forged_requests_of_somebody_logged_in(self, fresh_server, real):
        visitor = Visitor(fresh_server.url)
        visitor.film(visitor.sign_up("Grace"), real)
        for path in ("/logout", "/delete"):
            answer = visitor.session.post(
                visitor.url + path, data={"password": PASSWORD}, timeout=30
            )
            assert answer.status_code == 400
        assert "Hello, Grace" in visitor.get().text

    def test_other_host_names_are_refused(self, server):
        answer = Visitor(server.url).get(headers={"Host": "evil.example"})
        assert answer.status_code == 400


class TestNames:
    def test_sql_in_a_name_is_text(self, fresh_server, real):
        name = "x'; DROP TABLE account; --"
        visitor = Visitor(fresh_server.url)
        assert visitor.film(visitor.sign_up(name), real)["state"] == "passed"
        assert accounts(fresh_server) == [name]
        answer = Visitor(fresh_server.url).log_in("' OR 1=1 --")
        assert (answer.status_code, WRONG in answer.text) == (401, True)

    def test_names_that_are_not_valid(self, server):
        for name in ("", " ", "a/b", "a\x07b", "x" * 101, "\u202e"):
            page = Visitor(server.url).post(
                "/signup", name=name, password=PASSWORD, consent="y"
            )
            assert page.url.endswith("/signup"), name
            assert page.text.count('role="alert"') == 1

    def test_password_and_consent_are_needed(self, server):
        visitor = Visitor(server.url)
        page = visitor.post("/signup", name="Ann", password="short", consent="y")
        assert "Use 8 to 128 characters." in page.text
        page = visitor.post("/signup", name="Ann", password=PASSWORD)
        assert "Without your consent there is no account." in page.text

    def test_name_that_was_taken_meanwhile(self, fresh_server, real):
        first, second = Visitor(fresh_server.url), Visitor(fresh_server.url)
        paths = first.sign_up("Grace"), second.sign_up("GRACE")
        assert first.film(paths[0], real)["state"] == "passed"
        answer = second.film(paths[1], real)
        assert answer["state"] == "failed"
        assert answer["message"].startswith("Somebody has taken this name")
        assert (
            "This name is taken."
            in second.post("/signup", name="grace", password=PASSWORD, consent="y").text
        )
        assert accounts(fresh_server) == ["Grace"]

    def test_unknown_names_look_and_last_like_wrong_passwords(self, fresh_server, real):
        owner = Visitor(fresh_server.url)
        owner.film(owner.sign_up("Grace"), real)
        pages, seconds = {}, {"Grace": [], "Nobody": []}
        visitor = Visitor(fresh_server.url)
        for _ in range(5):
            for name, times in seconds.items():  # by turns: other work slows both
                fields = {"csrf_token": visitor.token(), "name": name, "password": "x"}
                start = time.monotonic()
                page = visitor.session.post(visitor.url + "/login", fields, timeout=30)
                times.append(time.monotonic() - start)
                assert page.status_code == 401
                pages[name] = without_tokens(page.text).replace(name, "")
        assert pages["Grace"] == pages["Nobody"]
        medians = [statistics.median(values) for values in seconds.values()]
        assert max(medians) < 1.5 * min(medians)
        assert attempts(fresh_server) == ["signed up"] + ["wrong password"] * 10

    def test_forms_are_not_taken_as_json(self, server):
        """The rate limits look at the form alone."""
        visitor = Visitor(server.url)
        page = visitor.session.post(
            server.url + "/login",
            json={"name": "Grace", "password": "guess"},
            headers={"X-CSRFToken": visitor.token()},
            timeout=30,
        )
        assert page.status_code == 200 and WRONG not in page.text

    def test_account_that_comes_after_a_deleted_one(self, fresh_server, real, other):
        """Databases give its number to the next account: a check must not pass on."""
        thief = Visitor(fresh_server.url)
        thief.film(thief.sign_up("Eileen"), other)
        waiting = Visitor(fresh_server.url)
        path = frames_path(waiting.log_in("Eileen").text)
        thief.post("/delete", password=PASSWORD)
        victim = Visitor(fresh_server.url)
        victim.film(victim.sign_up("Grace"), real)
        assert accounts(fresh_server) == ["Grace"]
        assert waiting.film(path, other)["state"] != "passed"
        assert "Grace" not in waiting.get().text

    def test_attempts_are_kept_for_ninety_days(self, fresh_server, real):
        visitor = Visitor(fresh_server.url)
        visitor.log_in("Nobody")
        visitor.log_in("Nobody")
        with sqlite3.connect(fresh_server.database) as connection:
            connection.execute(
                "UPDATE attempt SET at = datetime('now', '-91 days') WHERE id = 1"
            )
        visitor.film(visitor.sign_up("Grace"), real)
        assert attempts(fresh_server) == ["wrong password", "signed up"]


def test_two_hundred_wrong_passwords(fresh_server, real):
    owner = Visitor(fresh_server.url)
    owner.film(owner.sign_up("Grace"), real)
    owner.post("/logout")
    thief = Visitor(fresh_server.url)
    fields = {"csrf_token": thief.token(), "name": "Grace"}
    answers = [
        thief.session.post(
            thief.url + "/login", {**fields, "password": f"guess {number}"}, timeout=30
        )
        for number in range(200)
    ]
    codes = [answer.status_code for answer in answers]
    assert codes == [401] * 5 + [429] * 195
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 15 * 60
    # The right one is not even looked at now, from wherever it comes.
    assert Visitor(fresh_server.url).log_in("Grace").status_code == 429
    assert attempts(fresh_server) == ["signed up"] + ["wrong password"] * 5
    assert "guess" not in fresh_server.log


class TestUploads:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"", 400),
            (b"no picture", 400),
            (b"\xff\xd8\xff\xe0" + b"\0" * 50, 400),
            (b"x" * (2**20 + 1), 413),
            (cv2.imencode(".png", np.zeros((99, 99, 3), np.uint8))[1].tobytes(), 400),
            (jpeg(np.zeros((40, 99, 3), np.uint8)), 400),
            (jpeg(np.zeros((2001, 2000, 3), np.uint8)), 400),
        ],
        ids="empty text start large png small pixels".split(),
    )
    def test_other_than_a_decent_jpeg(self, server, data, code):
        visitor = Visitor(server.url)
        answer = visitor.frame(visitor.begin_try(), data)
        assert answer.status_code == code
        assert answer.json()["message"]

    def test_header_that_promises_more_pixels(self, server, real):
        """16000 x 16000 in its header: refused before it takes 768 MB."""
        data = bytearray(real[0])
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">HH", 16000, 16000)
        visitor = Visitor(server.url)
        answer = visitor.frame(visitor.begin_try(), bytes(data))
        assert answer.status_code == 400
        assert "4000000 pixels" in answer.json()["message"]

    def test_cut_off(self, server, real):
        visitor = Visitor(server.url)
        answer = visitor.frame(visitor.begin_try(), real[0][:-2000])
        assert answer.status_code == 400
        assert answer.json()["message"] == "the picture is cut off or damaged"

    def test_in_pieces(self, server):
        """No header says how many bytes will come."""
        visitor = Visitor(server.url)
        path = visitor.begin_try()
        headers = {"Content-Type": "image/jpeg", "X-CSRFToken": visitor.token()}
        pieces = (b"x" * 2**16 for _ in range(17))
        answer = visitor.session.post(
            server.url + path, pieces, headers=headers, timeout=30
        )
        assert answer.status_code == 411
        assert answer.headers["Connection"] == "close"
        assert "Traceback" not in server.log

    def test_far_too_many_bytes_are_not_read(self, server):
        """Two gigabytes promised: refused before they come."""
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = f"POST /try HTTP/1.1\r\nHost: {host}:{port}\r\n"
            head += "Content-Length: 2000000000\r\n\r\n"
            connection.sendall(head.encode())
            assert b" 413 " in connection.recv(100)

    def test_headers_without_end(self, server):
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 2**17)
            assert b" 413 " in connection.recv(100)
        assert Visitor(server.url).get().status_code == 200

    def test_other_type(self, server, real):
        visitor = Visitor(server.url)
        path = visitor.begin_try()
        answer = visitor.frame(path, real[0], **{"Content-Type": "image/png"})
        assert answer.status_code == 415

    def test_a_hundred_malformed(self, server, real):
        rng = random.Random(5)
        visitor = Visitor(server.url)
        path, token = visitor.begin_try(), visitor.token()
        headers = {"Content-Type": "image/jpeg", "X-CSRFToken": token}
        codes = []
        while len(codes) < 100:
            data = bytearray(real[0][: rng.randrange(20, len(real[0]))])
            for _ in range(rng.randrange(1, 200)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            answer = visitor.session.post(
                server.url + path, bytes(data), headers=headers, timeout=30
            )
            if answer.status_code != 429:
                codes.append(answer.status_code)
                assert answer.json()["message"]
            time.sleep(0.05)
        assert set(codes) == {400}
        assert "Traceback" not in server.log
        assert visitor.frame(visitor.begin_try(), real[0]).status_code == 200

    def test_faster_than_fifteen_a_second(self, server, real):
        visitor = Visitor(server.url)
        path, token = visitor.begin_try(), visitor.token()
        headers = {"Content-Type": "image/jpeg", "X-CSRFToken": token}
        start, codes = time.monotonic(), []
        while time.monotonic() - start < 1.5:
            answer = visitor.session.post(
                server.url + path, b"x", headers=headers, timeout=30
            )
            codes.append(answer.status_code)
        assert codes.count(400) <= 15 * 3  # in no more than three of its seconds
        assert 429 in codes

    def test_bytes_that_are_no_request(self, server):
        host, port = server.url.removeprefix("http://").split(":")
        for data in (b"\0" * 100, b"GET / HTTP/9.9\r\n\r\n", b"POST /try HTTP/1.1\r\n"):
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(data)
        assert Visitor(server.url).get().status_code == 200
        assert "Traceback" not in server.log


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_peers_that_say_nothing_keep_nobody_waiting(tmp_path):
    with (
        running(tmp_path, *make_certificate(tmp_path)) as server,
        contextlib.ExitStack() as silent,
    ):
        port = int(server.url.rpartition(":")[2])
        for _ in range(THREADS // 2):
            address = ("127.0.0.1", port)
            silent.enter_context(socket.create_connection(address, timeout=5))
        start = time.monotonic()
        assert Visitor(server.url).get().status_code == 200
        assert time.monotonic() - start < TIMEOUT_S / 2
        with pytest.raises(requests.ConnectionError):  # http on the port of https
            requests.get(f"http://127.0.0.1:{port}", timeout=5)
        assert Visitor(server.url).get().status_code == 200
        assert "Traceback" not in server.log


def test_eleventh_waits_until_a_place_is_free(fresh_server, real):
    visitors = [Visitor(fresh_server.url) for _ in range(MOST_CHECKS + 1)]
    paths = [visitor.begin_try() for visitor in visitors]
    pairs = list(zip(visitors, paths, strict=True))
    for visitor, path in pairs[:-1]:
        assert visitor.frame(path, real[0]).status_code == 200
    last, path = pairs[-1]
    answer = last.frame(path, real[0])
    assert (answer.status_code, answer.json()["state"]) == (503, "waiting")
    assert int(answer.headers["Retry-After"]) == answer.json()["retry_s"]
    time.sleep(IDLE_S)
    assert last.frame(path, real[0]).status_code == 200


class TestAnswers:
    @pytest.mark.parametrize("path", ["/", "/signup", "/login", "/limits", "/none"])
    def test_headers(self, server, path):
        headers = Visitor(server.url).get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"

    def test_pages_have_no_script_or_style_inside(self, server):
        for path in ("/", "/signup", "/login", "/limits"):
            page = Visitor(server.url).get(path).text
            assert not re.search(r"<script(?! src=)|<style| style=| on\w+=", page)

    def test_failure_of_the_server_is_one_sentence(self, tmp_path, real):
        with running(tmp_path, "--challenge", "none") as server:
            visitor = Visitor(server.url)
            visitor.get()
            with sqlite3.connect(server.database) as connection:
                connection.execute("DROP TABLE account")
            page = visitor.log_in("Grace")
            assert page.status_code == 500
            assert "Something went wrong here" in page.text
            assert "sqlite" not in page.text.lower()
            assert "no such table" in server.log

    def test_limits_page_says_what_is_not_stopped(self, server):
        page = Visitor(server.url).get("/limits").text
        for threat in ("virtual camera", "compelled person", "good mask"):
            assert threat in page


class TestFiles:
    def test_only_the_owner_reads_them(self, fresh_server, real):
        visitor = Visitor(fresh_server.url)
        visitor.film(visitor.sign_up("Grace"), real)
        for name in ("web.sqlite", "liveness_web.key"):
            mode = (fresh_server.folder / name).stat().st_mode
            assert stat.S_IMODE(mode) == 0o600

    def test_no_picture_is_kept(self, fresh_server, real):
        visitor = Visitor(fresh_server.url)
        visitor.film(visitor.sign_up("Grace"), real)
        files = [path for path in fresh_server.folder.rglob("*") if path.is_file()]
        assert {path.name for path in files} == {
            "web.sqlite",
            "liveness_web.key",
            "log",
        }
        assert not any(b"\xff\xd8\xff" in path.read_bytes() for path in files)
        exported = json.loads(visitor.get("/export").text)
        assert set(exported) == {"name", "created", "encodings", "attempts"}
        assert PASSWORD not in visitor.get("/export").text
