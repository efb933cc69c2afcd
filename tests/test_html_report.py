"""The report as a page: what it says, and how a real browser shows it."""

import html.parser
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest

import evaluate_model
from liveness.cli.run import run
from liveness.constants import ROOT, Reason
from liveness.evaluation.advice import advice
from liveness.evaluation.gallery import Gallery, ScoredCrop
from liveness.evaluation.metrics import ErrorRates
from liveness.io.images import read_image

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
needs_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="needs Chromium: apt-get install chromium"
)
MARKUP = "<img src=x onerror=alert(1)>&amp;.jpg"
MODEL = ["-m", str(ROOT / "models/liveness.h5")]


class Page(html.parser.HTMLParser):
    """Links, pictures, headings and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.pictures, self.ids, self.text = [], [], set(), ""
        self.feed(text.partition("</style>")[2])

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids |= {attributes.get("id")}
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "img":
            self.pictures.append(attributes["src"])
        assert tag != "script"

    def handle_data(self, data):
        self.text += data


def start(*options):
    return run(lambda: evaluate_model.main([str(one) for one in options]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report on example pictures, one with markup for a name."""
    if not (ROOT / "models/liveness.h5").is_file():
        pytest.skip("the shipped model is absent")
    place = tmp_path_factory.mktemp("report")
    (place / "print").mkdir()
    shutil.copy(ROOT / "images/fakes/2.jpg", place / "print" / MARKUP)
    shutil.copy(ROOT / "images/fakes/3.jpg", place / "print")
    clips = ["--real", ROOT / "images/reals", ROOT / "videos/real_1.mp4"]
    clips += ["--fake", place / "print"]
    options = ["--report", place / "new", "--threshold", "0.2"]
    assert start(*clips, *options, *MODEL) == 0
    return place / "new"


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def test_first_screen_says_that_it_shows_faces_and_where(folder, page):
    start_of_page = " ".join(page.text.split())[:900]
    assert "This folder shows 26 faces" in start_of_page
    assert str(folder) in start_of_page
    assert "50.0% of the worst kind passed (APCER)" in start_of_page
    assert "Film more: 26 real and 2 fake faces say little" in start_of_page


def test_links_and_pictures_lead_somewhere(folder, page):
    assert len(page.pictures) == 26 + 6 + 2 + 1  # six and two are explained
    for link in [*page.links, *page.pictures]:
        assert not re.match(r"[a-z]+:|/", link)
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (folder / link).is_file()


def test_worst_faces_come_first_with_what_happened(folder, page):
    text = " ".join(page.text.split())
    fakes = text.partition("Attacks with the highest scores")[2]
    assert re.match(r" passed score 0\.38\d, print \S*/print/<img src=x", fakes)
    worst = read_image(folder / "faces/fake-01.jpg")
    assert worst.shape[0] == worst.shape[1] > 200
    reals = text.partition("Real faces with the lowest scores")[2]
    scores = [float(score) for score in re.findall(r"right score (\d\.\d+)", reals)]
    assert scores[:24] == sorted(scores[:24])
    assert re.search(r"videos/real_1\.mp4, frame \d+, \d\.\d\d s", reals)


def test_a_name_with_markup_is_text(folder):
    raw = (folder / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in raw
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;amp;.jpg" in raw


def browse(page, profile, *options) -> str:
    """What a browser without a window writes about a page."""
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--hide-scrollbars", "--enable-logging=stderr", "--v=0"),
            *(f"--user-data-dir={profile}", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stderr


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_an_error(folder, tmp_path, width):
    picture = tmp_path / "page.png"
    options = f"--window-size={width},1500", f"--screenshot={picture}"
    said = browse(folder / "index.html", tmp_path / "profile", *options)
    assert "CONSOLE" not in said
    shown = cv2.imread(str(picture))
    assert shown.shape[1] == width
    # The gallery is there: dark blue of a uniform and black of the frame's outside.
    assert np.mean(shown[700:].max(axis=2) < 60) > 0.05
    # Nothing sticks out to the right: the margin of the page is blank.
    assert np.ptp(shown[:, -8:].astype(int), axis=(0, 1)).max() == 0


@needs_chromium
def test_a_browser_runs_no_script_of_a_report(folder, tmp_path):
    """And the test above can fail."""
    copy = shutil.copytree(folder, tmp_path / "copy") / "index.html"
    text = copy.read_text(encoding="utf-8")
    copy.write_text(
        text.replace("</body>", "<script>document.title = 'ran'</script></body>"),
        encoding="utf-8",
    )
    assert "CONSOLE" in browse(copy, tmp_path / "profile", "--dump-dom")


def test_a_folder_with_other_files_is_refused_first(tmp_path, capsys):
    (tmp_path / "diary.txt").write_text("mine")
    clips = ["--real", ROOT / "images/reals", "--fake", ROOT / "images/fakes"]
    assert start(*clips, "--report", tmp_path, *MODEL) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the report folder") and "is not empty" in line
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def crop_of(level: int, *, side: int = 270) -> np.ndarray:
    """Noise around a level: sharp, and as bright as it says."""
    noise = np.random.default_rng(0).integers(-20, 20, (side, side, 3))
    return np.clip(level + noise, 1, 255).astype(np.uint8)


def test_gallery_keeps_the_worst_of_each_class():
    gallery = Gallery(kept=2)
    for number, score in enumerate((0.9, 0.1, 0.5, 0.3)):
        gallery.offer(ScoredCrop(f"{number}", "", "", score, crop_of(120), 2.7))
        gallery.offer(ScoredCrop(f"{number}", "", "print", score, crop_of(120), 2.7))
    assert [face.score for face in gallery.worst(is_real=True)] == [0.1, 0.3]
    assert [face.score for face in gallery.worst(is_real=False)] == [0.9, 0.5]


def test_reasons_are_those_of_the_live_apps():
    def reason(crop):
        return ScoredCrop("a.png", "", "", 0.5, crop, 2.7).reason

    assert reason(crop_of(120)) == ""
    assert reason(crop_of(10)) == Reason.TOO_DARK
    assert reason(cv2.GaussianBlur(crop_of(120), (0, 0), 9)) == Reason.BLURRED
    assert reason(crop_of(120, side=81)) == Reason.TOO_FAR
    cut = crop_of(120)
    cut[:, :100] = 0  # the face begins at 85
    assert reason(cut) == Reason.OUT_OF_PICTURE


@pytest.mark.parametrize(
    ("apcer", "bpcer", "eer", "words"),
    [
        (0.01, 0.01, 0.01, ["Nothing here asks for a change"]),
        (0.0, 0.3, 0.01, ["Calibrate", "Film more real faces like those refused"]),
        (0.3, 0.0, 0.01, ["Calibrate", "Film more print attacks"]),
        (0.1, 0.12, 0.1, ["Adapt", "Film more real faces"]),
        (0.4, 0.1, 0.1, ["Adapt", "Calibrate", "Film more print attacks"]),
    ],
)
def test_advice_follows_from_the_rates(apcer, bpcer, eer, words):
    rates = ErrorRates(0.5, {"print": apcer, "replay": 0.0}, bpcer, eer, 0.9, {})
    sentences = advice(rates, bona_fide=50, attacks=50)
    assert len(sentences) == len(words)
    for sentence, word in zip(sentences, words, strict=True):
        assert sentence.startswith(word)
