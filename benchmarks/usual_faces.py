"""The SSD as the tutorials use it."""

from pathlib import Path

import cv2
import numpy as np

MEAN_BGR = (104.0, 177.0, 123.0)


def load_detector(folder: Path):
    """The network, from its two files."""
    return cv2.dnn.readNetFromCaffe(
        str(folder / "deploy.prototxt"),
        str(folder / "res10_300x300_ssd_iter_140000.caffemodel"),
    )


def find_faces(net, image: np.ndarray, confidence: float) -> list[tuple[int, ...]]:
    """Boxes of the detections in an (H, W, 3) uint8 BGR image, one by one."""
    height, width = image.shape[:2]
    blob = cv2.dnn.blobFromImage(
        cv2.resize(image, (300, 300)), 1.0, (300, 300), MEAN_BGR
    )
    net.setInput(blob)
    detections = net.forward()
    boxes = []
    for i in range(detections.shape[2]):
        if detections[0, 0, i, 2] > confidence:
            box = detections[0, 0, i, 3:7] * np.array([width, height, width, height])
            x_min, y_min, x_max, y_max = box.astype(int)
            box = max(0, x_min), max(0, y_min), min(width, x_max), min(height, y_max)
            boxes.append(tuple(map(int, box)))
    return boxes
