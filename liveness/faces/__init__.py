"""Faces in a picture: found, cut out, and judged for whether they can be scored.

- ``detector``: the SSD ResNet-10 face detector
- ``crops``: the one crop geometry, from box to crop to model input
- ``boxes``: box arithmetic, no pictures
- ``quality``: too dark, too small, blurred, cut off, turned away
- ``dlib_faces``: encodings and landmarks by face_recognition

Imported elsewhere: ``FaceDetector``, ``Detection``, ``crop_face``, ``CROP_SCALE``,
``model_input``, ``Box``, ``quality_problem``, ``encode_face``, ``find_landmarks``.
"""
