"""A live loop the usual way: detector on every frame, model.predict per face."""

import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tensorflow.keras.models import load_model

from benchmarks.usual_faces import find_faces, load_detector
from benchmarks.usual_picture import face_batch


def frames_per_second(
    frames: Sequence[np.ndarray], model_file: Path, encoder_file: Path, show
) -> float:
    """Rate over the frames after the first, which warms TensorFlow up."""
    net = load_detector(Path("face_detector"))
    model = load_model(model_file)
    label_encoder = pickle.loads(encoder_file.read_bytes())
    for number, frame in enumerate(frames):
        if number == 1:
            start = time.perf_counter()
        frame = frame.copy()
        for box in find_faces(net, frame, 0.5):
            batch = face_batch(frame, box, model.input_shape)
            scores = model.predict(batch, verbose=0)[0]
            label = label_encoder.classes_[np.argmax(scores)]
            text = f"{label}: {scores.max():.4f}"
            place = box[0], box[1] - 10
            cv2.putText(
                frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 255), 2
            )
            cv2.rectangle(frame, box[:2], box[2:], (0, 0, 255), 2)
        show(frame)
    return (len(frames) - 1) / (time.perf_counter() - start)
