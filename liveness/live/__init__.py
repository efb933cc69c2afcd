"""The live apps: track faces, and draw, print and record their verdicts.

- ``loop``: read a frame, judge it, pass it to the outputs
- ``tracks``: track faces over time and decide on a verdict
- ``view``: the input of an output; ``overlay``: what is drawn on it
- ``window``, ``recorder``, ``lines``: the outputs

An output never imports the loop that feeds it.

Imported elsewhere: ``run_live``, ``FaceTracks``, ``Window``, ``VideoRecorder``,
``EventLines``, ``FrameLines``.
"""
