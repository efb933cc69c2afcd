"""Attacks made from bona fide pictures: prints, phones and monitors, recaptured.

They widen the variety of attacks in training and never replace filmed ones.

- ``recapture``: what a screen or print and a second camera do to a whole picture
- ``light``: fields of light and ink: pixel grids, bands, paper, glare
- ``panels``: a device or sheet that shows a face
- ``composition``: that panel in front of another picture

Imported elsewhere: ``KINDS``, ``simulate``, ``compose_attack``, ``make_panel``,
``placement``, ``paste_panel``.
"""
