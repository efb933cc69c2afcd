"""The web app: accounts that only a live, known person gets into.

``app`` puts the Flask application together, ``security`` its headers, rate limits and
secret key. ``pages`` are the routes that people open, ``frames`` those that the camera
posts to, ``forms`` what is typed in. ``database`` holds the tables, ``accounts`` what
is done with them. ``face_checks`` judges the frames of each person, ``uploads`` admits
them. ``server`` serves the application.

It is the only room that needs ``requirements-web.txt``.
"""
