"""Values that many modules share. This module imports nothing of the project."""

import enum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the folder of the scripts
DEFAULT_DETECTOR = ROOT / "face_detector"
DEFAULT_CONFIDENCE = 0.5  # of the detector; the workflow's customary value
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_FAKE = 3  # of what answers by its exit code: --once and --verify
EXIT_UNDECIDED = 4  # --once: no decision in time
EXIT_OTHER_PERSON = 4  # --verify: real, but not the person
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_TERMINATED = 143  # 128 + SIGTERM

ONCE_LIMIT_S = 30.0  # a live app with --once ends after that, if no limit is given
DEFAULT_TIMEOUT_S = 60.0  # a phone that is gone for half a minute is forgiven
CAMERA_BACKENDS = ("any", "v4l2", "dshow", "msmf", "avfoundation")  # of OpenCV
CHALLENGES = ("blink", "turn", "random")  # what a person may be asked to do
UNCHANGED = "as they are"  # pictures, beside the names of changes

# Largest distance of a face from an enrolled picture of its person. dlib's own is 0.6
# (dlib.net/face_recognition.py). Of 50 people before one webcam, enrolled in one light
# and probed in another (400 faces), 0.6 took 1.0 % of strangers for a given person,
# 0.5 none, and neither refused anybody; 0.45 refused 1.0 % of the right people.
DEFAULT_TOLERANCE = 0.5

# Trunks of LivenessNet: VGG-like and started at random, which trains in minutes; and
# EfficientNet-Lite0 cut after its 11th block, started from ImageNet.
SMALL_TRUNK, LITE0_TRUNK = "small", "efficientnet-lite0"
TRUNKS = (SMALL_TRUNK, LITE0_TRUNK)

# What can be chosen of a training, by the names of the options.
RECIPE_OPTIONS = (
    *("trunk", "epochs", "batch_size", "learning_rate", "networks", "seed"),
    *("simulate_attacks", "never_train"),
)
LEAST_BATCH = 8  # faces: both labels, and both with a view that is not there


class Reason(enum.StrEnum):
    """Why a face has no verdict yet, as advice to the person in front of the camera."""

    LOOKING = "looking"  # more frames are needed, or another face is recognised first
    LOOK_AHEAD = "look ahead"
    HOLD_STILL = "hold still"
    UPSIDE_DOWN = "upside down?"
    TOO_FAR = "too far: come closer"
    TOO_CLOSE = "too close: move back"
    OUT_OF_PICTURE = "partly out of the picture"
    TOO_DARK = "too dark: more light"
    TOO_BRIGHT = "too bright: less light"
    BLURRED = "blurred: hold still"
    TURNED_AWAY = "turned away: look ahead"
    # Movements of a challenge. The prompt adds the step: "2/3: blink".
    BLINK = "blink"
    TURN_LEFT = "turn your head to your left"
    TURN_RIGHT = "turn your head to your right"
    # Why a challenge failed.
    FACE_LOST = "face lost"
    TOO_LATE = "too late"
    WRONG_MOVEMENT = "that was another movement"
