"""What no collecting can do without: cv2, and decoding every frame.

python -m benchmarks.bare_decoder VIDEO
"""

import sys

import cv2

capture = cv2.VideoCapture(sys.argv[1])
while capture.grab():
    pass
