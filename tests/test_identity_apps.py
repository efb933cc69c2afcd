"""Names in the three apps: who is live and known, and who is not."""

import json
import pickle

import cv2
import numpy as np
import pytest

import liveness_app
import liveness_app_android
import liveness_app_from_picture
from apps import ROOT, ScriptedClassifier, ScriptedDetector
from ip_webcam_server import FakePhone, part
from liveness.cli.run import run
from liveness.faces.detector import FaceDetector
from liveness.faces.dlib_faces import encode_face
from liveness.io.images import read_image
from liveness.live.overlay import draw_faces
from liveness.live.tracks import FaceTracks
from liveness.model.verdicts import FaceVerdict, Match
from liveness.people.checks import PersonChecks
from liveness.people.identity import NOBODY, FaceIdentifier, KnownFaces, save_known
from liveness.simulation.recapture import KINDS, simulate

GRACE, EILEEN = ROOT / "images/reals/1.jpg", ROOT / "images/reals/2.jpg"
VIDEO = ROOT / "videos/real_1.mp4"  # of Grace


@pytest.fixture(scope="module")
def grace() -> KnownFaces:
    image = read_image(GRACE)
    box = FaceDetector(ROOT / "face_detector").detect(image)[0].box
    return KnownFaces(("Grace",), encode_face(image, box)[np.newaxis])


@pytest.fixture(scope="module")
def known(grace, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("known") / "encodings.npz"
    save_known(path, grace)
    return str(path)


@pytest.fixture
def judge(use_classifier, known, capsys):
    """Runs the picture app with --known and --json: exit code and output."""

    def judge(path, *options, score=0.9):
        use_classifier(score if callable(score) else lambda image, box: score)
        given = ["-i", str(path), "--known", known, "--json", *options]
        code = run(lambda: liveness_app_from_picture.main(given))
        return code, json.loads(capsys.readouterr().out)

    return judge


@pytest.fixture
def fail(use_classifier, capsys):
    """Runs the picture app, which ends with 1: its one line on stderr."""

    def fail(*options):
        use_classifier(lambda image, box: 0.9)
        given = ["-i", str(GRACE), *map(str, options)]
        assert run(lambda: liveness_app_from_picture.main(given)) == 1
        out, err = capsys.readouterr()
        assert not out and err.splitlines()[-1].startswith("error: ")
        return err

    return fail


def test_known_and_live_has_name_and_distance(judge):
    code, found = judge(GRACE)
    (face,) = found["faces"]
    assert code == 0 and face["label"] == "real" and face["name"] == "Grace"
    assert face["distance"] < 0.1 and "verify" not in found


def test_unknown_and_live_has_no_name_but_a_distance(judge):
    (face,) = judge(EILEEN)[1]["faces"]
    assert face["label"] == "real" and face["name"] is None
    assert 0.6 < face["distance"] < 1


def test_known_and_fake_has_no_name(judge):
    (face,) = judge(GRACE, score=0.1)[1]["faces"]
    assert (face["label"], face["name"], face["distance"]) == ("fake", None, None)


def test_a_fake_is_named_when_asked_for(judge):
    (face,) = judge(GRACE, "--name-fakes", score=0.1)[1]["faces"]
    assert (face["label"], face["name"]) == ("fake", "Grace")


def test_the_tolerance_decides(judge):
    assert judge(EILEEN, "--tolerance", "0.99")[1]["faces"][0]["name"] == "Grace"


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_attacks_are_recognised_only_when_asked_for(judge, tmp_path, kind):
    fake = simulate(read_image(GRACE), kind, np.random.default_rng(2))
    cv2.imwrite(str(tmp_path / "fake.png"), fake)
    for options, name in (([], None), (["--name-fakes"], "Grace")):
        face = judge(tmp_path / "fake.png", *options, score=0.1)[1]["faces"][0]
        assert (face["label"], face["name"]) == ("fake", name)


@pytest.mark.parametrize(
    ("is_fake", "expected"),
    [
        (lambda left: False, [("real", "Grace"), ("real", None)]),
        (lambda left: left, [("fake", None), ("real", None)]),
        (lambda left: not left, [("real", "Grace"), ("fake", None)]),
    ],
    ids=["both live", "known is fake", "unknown is fake"],
)
def test_two_faces_at_once(judge, tmp_path, is_fake, expected):
    pair = [cv2.resize(read_image(path), (480, 360)) for path in (GRACE, EILEEN)]
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack(pair))
    rule = lambda image, box: 0.1 if is_fake(box[0] < 480) else 0.9  # noqa: E731
    faces = judge(tmp_path / "two.png", score=rule)[1]["faces"]
    from_left = sorted(faces, key=lambda face: face["box"])
    assert [(face["label"], face["name"]) for face in from_left] == expected


def test_without_known_nothing_is_added(use_classifier, capsys):
    use_classifier(lambda image, box: 0.9)
    assert liveness_app_from_picture.main(["-i", str(GRACE), "--json"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert set(face) == {"box", "confidence", "score", "label"}


@pytest.mark.parametrize(
    ("picture", "score", "code", "failed"),
    [
        (GRACE, 0.9, 0, None),
        (GRACE, 0.1, 3, "liveness"),
        (EILEEN, 0.9, 4, "identity"),
        (EILEEN, 0.1, 3, "liveness"),
    ],
    ids=["live and known", "fake of known", "live and unknown", "fake of unknown"],
)
def test_verify(judge, picture, score, code, failed):
    found_code, found = judge(picture, "--verify", "Grace", score=score)
    assert found_code == code
    assert found["verify"] == {
        "name": "Grace",
        "passed": failed is None,
        "failed": failed,
    }


def test_verify_a_fake_that_is_named_is_still_3(judge):
    assert judge(GRACE, "--verify", "Grace", "--name-fakes", score=0.1)[0] == 3


def test_verify_without_a_face_is_4(judge, tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    code, found = judge(tmp_path / "grey.png", "--verify", "Grace")
    assert code == 4 and found["verify"]["failed"] == "identity"


def test_upside_down_is_neither_judged_nor_named(judge, tmp_path, capsys):
    turned = tmp_path / "turned.png"
    cv2.imwrite(str(turned), read_image(GRACE)[::-1, ::-1])
    code, found = judge(turned)
    (face,) = found["faces"]
    assert (code, face["label"], face["reason"]) == (1, "checking", "upside down?")
    assert face["score"] is None and face["name"] is None
    code, found = judge(turned, "--verify", "Grace")
    assert (code, found["verify"]["failed"]) == (4, "upside down?")
    given = ["-i", str(turned), "--output", str(tmp_path / "drawn.png")]
    assert run(lambda: liveness_app_from_picture.main(given)) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{turned}: checking  upside down?  detector confidence ")
    assert "Turn the picture" in err


def someone_behind(path, share):
    """A picture of Grace with a smaller copy of another picture in its corner."""
    image = cv2.resize(read_image(GRACE), (1280, 960))
    small = read_image(path)
    small = cv2.resize(small, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    image[: small.shape[0], -small.shape[1] :] = small
    return image


@pytest.mark.parametrize(
    ("nearest", "behind", "code", "failed"),
    [
        (0.9, 0.9, 0, None),
        (0.9, 0.1, 0, None),
        (0.1, 0.9, 3, "liveness"),
    ],
    ids=["both live", "a picture behind", "the nearest is fake"],
)
def test_verify_the_nearest(
    use_classifier, known, tmp_path, capsys, nearest, behind, code, failed
):
    picture = tmp_path / "queue.png"
    cv2.imwrite(str(picture), someone_behind(EILEEN, 0.7))
    use_classifier(
        lambda image, box: nearest if box[3] - box[1] > 240 else behind,
    )
    given = ["-i", str(picture), "--known", known, "--json", "--verify", "Grace"]
    assert liveness_app_from_picture.main(given) == code
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert len(found["faces"]) == 2 and found["verify"]["failed"] == failed
    assert f"{picture}: 1 smaller face skipped" in err


def test_verify_somebody_behind_does_not_open(judge, tmp_path):
    image = cv2.resize(read_image(EILEEN), (1280, 960))
    image[:300, -400:] = cv2.resize(read_image(GRACE), (400, 300))
    cv2.imwrite(str(tmp_path / "behind.png"), image)
    code, found = judge(tmp_path / "behind.png", "--verify", "Grace")
    assert {face["name"] for face in found["faces"]} == {"Grace", None}
    assert (code, found["verify"]["failed"]) == (4, "identity")


@pytest.mark.parametrize(
    ("scores", "code", "failed"),
    [((0.9, 0.9), 4, "several faces"), ((0.9, 0.1), 3, "liveness")],
    ids=["two people", "a person and a picture"],
)
def test_verify_refuses_two_near_faces(judge, tmp_path, scores, code, failed):
    pair = [cv2.resize(read_image(path), (480, 360)) for path in (GRACE, EILEEN)]
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack(pair))
    rule = lambda image, box: scores[box[0] > 480]  # noqa: E731
    found_code, found = judge(tmp_path / "two.png", "--verify", "Grace", score=rule)
    assert (found_code, found["verify"]["failed"]) == (code, failed)


def test_verify_says_the_result_in_words(use_classifier, known, capsys):
    use_classifier(lambda image, box: 0.9)
    given = ["-i", str(EILEEN), "--known", known, "--verify", "Grace"]
    assert liveness_app_from_picture.main(given) == 4
    face, result = capsys.readouterr().out.splitlines()
    assert "  unknown  distance 0." in face
    assert result.endswith("verification as Grace failed: identity")


def test_verify_an_unreadable_picture_is_1(fail, known, tmp_path):
    (tmp_path / "bad.jpg").write_text("no picture")
    options = ["-i", tmp_path / "bad.jpg", "--known", known, "--verify", "Grace"]
    assert "bad.jpg" in fail(*options)


def test_verify_who_is_not_enrolled(fail, known):
    message = fail("--known", known, "--verify", "Eileen")
    assert "'Eileen' is not in" in message and "enrolled: Grace" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "damaged"),
        (b"PK\x03\x04 and then nothing", "damaged"),
        (pickle.dumps({"Grace": [0.0] * 128}), "pickle"),
    ],
    ids=["missing", "empty", "truncated", "pickle"],
)
def test_bad_encodings_are_one_clear_line(fail, tmp_path, content, message):
    path = tmp_path / "e.npz"
    if content is not None:
        path.write_bytes(content)
    assert message in fail("--known", path)


def test_encodings_of_nobody(fail, tmp_path):
    save_known(tmp_path / "e.npz", NOBODY)
    assert "nobody is enrolled" in fail("--known", tmp_path / "e.npz")


@pytest.mark.parametrize(
    ("app", "options"),
    [
        (liveness_app, ["--name-fakes"]),
        (liveness_app_android, ["-u", "http://phone:8080", "--name-fakes"]),
        (liveness_app_from_picture, ["-i", str(GRACE), "--name-fakes"]),
        (liveness_app_from_picture, ["-i", str(GRACE), "--verify", "Grace"]),
    ],
)
def test_names_need_known_people(app, options, capsys):
    with pytest.raises(SystemExit) as end:
        app.main(options)
    assert end.value.code == 2 and "needs --known" in capsys.readouterr().err


def test_verify_takes_one_picture(known, capsys):
    given = ["-i", str(GRACE), str(EILEEN), "--known", known, "--verify", "Grace"]
    with pytest.raises(SystemExit) as end:
        liveness_app_from_picture.main(given)
    assert end.value.code == 2 and "one picture" in capsys.readouterr().err


@pytest.mark.parametrize(("score", "name"), [(0.9, "Grace"), (0.1, None)])
def test_tracks_of_a_video(use_classifier, known, capsys, score, name):
    use_classifier(lambda image, box: score)
    given = ["--no-display", "--source", str(VIDEO), "--known", known, "--json"]
    assert liveness_app.main(given) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    named = {line["label"]: line["name"] for line in lines}
    assert named == {"checking": None, "real" if name else "fake": name}


def test_a_face_on_the_phone(use_classifier, known, capsys):
    use_classifier(lambda image, box: 0.9)
    jpeg = GRACE.read_bytes()
    with FakePhone(fps=10, script=[lambda number: part(number, jpeg)]) as phone:
        given = ["-u", phone.url, "--no-display", "--known", known, "--once"]
        assert run(lambda: liveness_app_android.main(given)) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "real" in last and "  Grace  distance 0." in last


class CountingIdentifier:
    """Gives the names of a list in turn, and counts."""

    def __init__(self, *names):
        self.names, self.calls = names, 0

    def identify(self, image, box):
        self.calls += 1
        return Match(self.names[(self.calls - 1) % len(self.names)], 0.3)


BOXES = [(20, 100, 120, 220), (400, 100, 500, 220)]
SCENE = cv2.GaussianBlur(
    np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8), (0, 0), 8
)


def show(tracks, seconds, *, start_s=0.0, image=SCENE):
    """Verdicts at every frame of that many seconds of one picture, 30 a second."""
    times = (start_s + n / 30 for n in range(round(seconds * 30)))
    return [tracks.update(image, time_s) for time_s in times]


def tracks_of(identifier, classifier, boxes=BOXES[:1], **options):
    checks = PersonChecks(identifier, **options)
    detector = ScriptedDetector(list(boxes))
    return FaceTracks(
        detector, classifier, problem=lambda image, box: "", checks=checks
    )


def test_a_track_is_encoded_once_and_again_after_a_loss():
    identifier = CountingIdentifier("Grace", "Eileen")
    tracks = tracks_of(identifier, ScriptedClassifier())
    assert show(tracks, 3)[-1][0].match.name == "Grace"
    assert identifier.calls == 1
    other = np.random.default_rng(2).integers(0, 255, SCENE.shape, np.uint8)
    lost = show(tracks, 0.2, start_s=3, image=other)[-1][0]
    assert lost.label == "checking" and lost.match.name is None
    found = show(tracks, 2, start_s=3.2)[-1][0]
    assert (found.label, found.match.name) == ("real", "Eileen")
    assert identifier.calls == 2


@pytest.mark.parametrize("name_fakes", [False, True])
def test_a_name_does_not_survive_a_change_of_the_verdict(name_fakes):
    identifier, classifier = CountingIdentifier("A", "B", "C"), ScriptedClassifier()
    tracks = tracks_of(identifier, classifier, name_fakes=name_fakes)
    told = []
    for number, score in enumerate((0.9, 0.1, 0.9)):
        classifier.score = score
        face = show(tracks, 2, start_s=2 * number)[-1][0]
        told.append((face.label, face.match.name))
    fake, again = ("B", "C") if name_fakes else (None, "B")
    assert told == [("real", "A"), ("fake", fake), ("real", again)]


def test_a_face_is_never_real_before_it_is_named_and_one_is_named_a_frame():
    identifier = CountingIdentifier("A", "B")
    tracks = tracks_of(identifier, ScriptedClassifier(), BOXES)
    for number in range(30):
        calls = identifier.calls
        (faces,) = show(tracks, 1 / 30, start_s=number / 30)
        assert identifier.calls - calls <= 1
        assert all((face.label == "real") == bool(face.match.name) for face in faces)
    assert identifier.calls == 2


def test_a_real_identifier_among_the_tracks(grace):
    image = read_image(GRACE)
    tracks = tracks_of(
        FaceIdentifier(grace), ScriptedClassifier(), [(224, 103, 423, 340)]
    )
    assert show(tracks, 1, image=image)[-1][0].who.startswith("Grace  distance 0.")


def test_the_overlay_shows_name_or_unknown():
    def drawn(match):
        face = FaceVerdict((60, 60, 200, 200), 0.9, 0.9, "real", match=match)
        return draw_faces(np.zeros((300, 400, 3), np.uint8), [face], threshold=0.5)

    plain = drawn(None)
    assert (drawn(Match(None, float("inf"))) == plain).all()
    named, unknown = drawn(Match("Grace", 0.3)), drawn(Match(None, 0.7))
    assert (named != plain).any() and (named != unknown).any()
    # The font has no accents; a row of question marks would name nobody.
    assert (drawn(Match("José", 0.3)) == drawn(Match("Jose", 0.3))).all()
