"""Samples to a trained network.

- ``recipe``: every number of a training, in one object
- ``fit``: the training itself, averaged weights, scores
- ``adaptation``: a trained network to one camera, by a correction of its last layers
- ``moments``: what a network saw in the faces that trained, summed up
- ``pixels``: samples as the pictures that training reads, with simulated attacks
- ``augmentation``: what other cameras would have done to a picture
- ``pretrained``: ImageNet weights that a training starts from
- ``checkpoint``: where a training goes on after an interruption

Imported elsewhere: ``TrainingOptions``, ``options_of``, ``train_average``, ``score``,
``load_pixels``, ``Pixels``.
"""
