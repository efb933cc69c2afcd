"""A picture's verdict the usual way: TensorFlow, the whole encoder, one predict."""

import argparse
import pickle
from pathlib import Path

import cv2
import numpy as np
from tensorflow.keras.models import load_model

from benchmarks.usual_faces import find_faces, load_detector
from liveness.faces.crops import CROP_SCALE, crop_face, model_input


def face_batch(image: np.ndarray, box: tuple[int, ...], shape: tuple) -> np.ndarray:
    """A batch of one face, of the shape that the network takes."""
    scales = np.linspace(1.0, CROP_SCALE, shape[-1] // 3).tolist()
    crops = [crop_face(image, box, scale=CROP_SCALE)]
    return model_input(
        crops, crop_scale=CROP_SCALE, view_scales=scales, side_px=shape[1]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", "--input", type=Path, required=True)
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("-l", "--le", type=Path, required=True)
    parser.add_argument("-d", "--detector", type=Path, default=Path("face_detector"))
    arguments = parser.parse_args()
    net = load_detector(arguments.detector)
    model = load_model(arguments.model)
    label_encoder = pickle.loads(arguments.le.read_bytes())
    image = cv2.imread(str(arguments.input))
    for box in find_faces(net, image, 0.5):
        scores = model.predict(face_batch(image, box, model.input_shape))[0]
        label = label_encoder.classes_[np.argmax(scores)]
        print(f"{label}: {scores.max():.4f}")


if __name__ == "__main__":
    main()
