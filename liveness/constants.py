"""Numbers that many share; nothing is imported here, so --help stays instant."""

# Largest distance of a face from an enrolled picture of its person. dlib's own is 0.6
# (dlib.net/face_recognition.py). Of 50 people before one webcam, enrolled in one light
# and probed in another (400 faces), 0.6 took 1.0 % of strangers for a given person,
# 0.5 none, and neither refused anybody; 0.45 refused 1.0 % of the right people.
DEFAULT_TOLERANCE = 0.5

# Trunks of LivenessNet: VGG-like and started at random, which trains in minutes; and
# EfficientNet-Lite0 cut after its 11th block, started from ImageNet.
SMALL_TRUNK, LITE0_TRUNK = "small", "efficientnet-lite0"
TRUNKS = (SMALL_TRUNK, LITE0_TRUNK)

LEAST_BATCH = 8  # faces: both labels, and both with a view that is not there
