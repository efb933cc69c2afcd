"""Collecting the usual way: decode and convert every frame, one video by another.

python -m benchmarks.usual_collect OUTPUT VIDEO...
"""

import sys
from pathlib import Path

import cv2

from benchmarks.usual_faces import find_faces, load_detector

EVERY_N_FRAMES = 16


def main(output: Path, videos: list[str]) -> None:
    net = load_detector(Path("face_detector"))
    saved = 0
    for video in videos:
        capture = cv2.VideoCapture(video)
        read = 0
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            read += 1
            if read % EVERY_N_FRAMES:
                continue
            boxes = find_faces(net, frame, 0.5)
            if boxes:
                x_min, y_min, x_max, y_max = boxes[0]
                face = frame[y_min:y_max, x_min:x_max]
                cv2.imwrite(str(output / f"{saved}.png"), face)
                saved += 1
        capture.release()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
