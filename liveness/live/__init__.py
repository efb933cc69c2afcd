"""The live apps: one verdict per person, drawn, printed and recorded.

- ``loop``: read a frame, judge it, hand it to the outputs
- ``tracks``: faces followed over time, and when a verdict is given
- ``view``: what an output gets; ``overlay``: what is drawn on it
- ``window``, ``recorder``, ``lines``: the outputs

An output never imports the loop that feeds it.

Imported elsewhere: ``run_live``, ``FaceTracks``, ``Window``, ``VideoRecorder``,
``EventLines``, ``FrameLines``.
"""
