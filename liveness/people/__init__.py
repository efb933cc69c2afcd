"""Known people and what is asked of them.

- ``identity``: the encodings file, and the nearest known person
- ``enrolment``: pictures of people to that file
- ``challenge``: blink or turn the head
- ``checks``: identity and challenge on top of a verdict

Imported elsewhere: ``KnownFaces``, ``load_known``, ``FaceIdentifier``, ``enroll``,
``PersonChecks``, ``load_identifier``, ``name_faces``.
"""
