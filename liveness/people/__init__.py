"""Known people, and challenges for the person in front of the camera.

- ``identity``: the encodings file and the nearest known person
- ``enrolment``: from pictures of people to the encodings file
- ``challenge``: ask for blinks and head turns
- ``checks``: add identity and challenge to a verdict

Imported elsewhere: ``KnownFaces``, ``load_known``, ``FaceIdentifier``, ``enroll``,
``PersonChecks``, ``load_identifier``, ``name_faces``.
"""
