"""The trained model: its files, how it runs, and the verdict on a face.

- ``classifier``: crops in, liveness scores and labels out
- ``verdicts``: what is said about one face, and why it is not judged
- ``explanation``: which parts of a crop a verdict comes from
- ``paths``, ``loading``, ``saving``: the four files of a model
- ``card``: the JSON beside it: sizes, scale, threshold, versions, checksums
- ``networks``: ONNX Runtime or Keras behind one call
- ``keras_files``: Keras files, looked through before they are loaded
- ``labels``: class names, their order, the label encoder

Imported elsewhere: ``LivenessClassifier``, ``FaceVerdict``, ``ModelCard``,
``find_model``, ``load_model``, ``save_trained_model``, ``REAL``, ``FAKE``, ``LABELS``.
"""
