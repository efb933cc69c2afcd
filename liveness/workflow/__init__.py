"""What the scripts do, as functions with plain arguments: see ``docs/python.md``.

- ``collect``: faces from videos and pictures into a dataset folder
- ``review``: crops removed from a dataset or moved to another label
- ``gather``: full frames of many sites into a dataset
- ``train``: a dataset to a trained model and its figures
- ``adapt``: a trained model to one camera
- ``cross_validate``: a recipe's error rates on sites that did not train
- ``evaluate``: a model's error rates, and a threshold of one's own
- ``judge``: verdicts on still pictures
- ``live``: verdicts on a camera, in real time

Nothing here parses arguments, prints or exits.
"""
