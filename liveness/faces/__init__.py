"""Faces in a picture: detect them, crop them, and check their quality.

- ``detector``: the SSD ResNet-10 face detector
- ``crops``: the crop geometry, from box to crop to model input
- ``boxes``: box arithmetic
- ``quality``: faces that are too dark, too small, blurred, cut off or turned away
- ``dlib_faces``: encodings and landmarks from face_recognition

Imported elsewhere: ``FaceDetector``, ``Detection``, ``crop_face``, ``CROP_SCALE``,
``model_input``, ``Box``, ``face_problem``, ``encode_face``, ``find_landmarks``.
"""
