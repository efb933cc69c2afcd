"""Simulated attacks: bona fide pictures recaptured from prints, phones and monitors.

They add variety to the attacks in training and never replace filmed attacks.

- ``recapture``: the effect of a screen or print and a second camera on a picture
- ``light``: light and ink fields: pixel grids, bands, paper, glare
- ``panels``: a device or sheet that shows a face
- ``composition``: a panel in front of another picture

Imported elsewhere: ``KINDS``, ``simulate``, ``compose_attack``, ``make_panel``,
``placement``, ``paste_panel``.
"""
