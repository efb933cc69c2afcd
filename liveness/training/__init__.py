"""Samples to a trained network.

- ``recipe``: every number of a training, in one object
- ``fit``: the training itself, averaged weights, scores
- ``pixels``: samples as the pictures that training reads, with simulated attacks
- ``augmentation``: what other cameras would have done to a picture
- ``pretrained``: ImageNet weights that a training starts from
- ``checkpoint``: where a training goes on after an interruption

Imported elsewhere: ``TrainingOptions``, ``options_of``, ``train_average``, ``score``,
``load_pixels``, ``Pixels``.
"""
