"""What other cameras, light and hands would have done to a training picture.

A Keras layer that runs in the training pipeline only and is never part of a
saved model. Importing this module imports TensorFlow.
"""

import keras
import tensorflow as tf

FLIP = 0.5  # probability of a mirrored picture
QUARTER_TURN = 0.1  # of a phone's video that lies on its side
BLUR = 0.6  # of a soft focus
NOISE = 0.5  # of sensor noise
MAX_ROTATION_RAD = 0.2
MAX_SHIFT = 0.08  # of the side
ZOOM = (0.9, 1.15)
# Colour and exposure differ more between cameras than between a face and its
# picture: what a network learns of them does not hold elsewhere.
TONE_BEND = 0.7  # of the tone curve; 0.4 is about a gamma of 0.75
CONTRAST = (0.6, 1.4)
BRIGHTNESS = 0.2  # added or taken off, of the full range
CHANNEL_GAIN = (0.7, 1.3)  # white balance, each channel
MAX_NOISE = 0.05  # standard deviation, of the full range


@keras.saving.register_keras_serializable(package="liveness")
class RandomCamera(keras.layers.Layer):
    """Random geometry, colour, focus and noise, seeded by the call."""

    def call(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A variation of each picture.

        Args:
            images: (N, side, side, 3) float32 in [0, 1].
            seed: (2,) int32; the same seed gives the same variation.

        Returns:
            Of the form of ``images``.
        """
        seeds = tf.random.split(seed, 4)
        images = _move(images, seeds[0])
        filmed = _filmed(images)
        images = _recolour(images, seeds[1])
        images = _blur(images, seeds[2])
        images = _add_noise(images, seeds[3])
        # What was black for want of a picture stays black.
        return images * filmed


def _uniform(count, low, high, seed, *, shape=(1, 1, 1)) -> tf.Tensor:
    """(N, *shape) of random numbers, one set for each picture."""
    return tf.random.stateless_uniform((count, *shape), seed, low, high)


def _chance(count, probability: float, seed) -> tf.Tensor:
    """(N, 1, 1, 1) of ones with this probability, else zeros."""
    return tf.cast(_uniform(count, 0.0, 1.0, seed) < probability, tf.float32)


def _move(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirror, turn, zoom and shift in one resampling."""
    count, side = tf.shape(images)[0], images.shape[1]
    seeds = tf.random.split(seed, 6)

    def draw(low, high, number):
        return tf.random.stateless_uniform((count,), seeds[number], low, high)

    flip = tf.where(draw(0.0, 1.0, 0) < FLIP, -1.0, 1.0)
    quarter = tf.where(
        draw(0.0, 1.0, 1) < QUARTER_TURN, tf.sign(draw(-1.0, 1.0, 2)), 0.0
    )
    angle = draw(-MAX_ROTATION_RAD, MAX_ROTATION_RAD, 3) + quarter * (3.14159265 / 2)
    zoom = draw(*ZOOM, 4)
    shift = tf.random.stateless_uniform((count, 2), seeds[5], -MAX_SHIFT, MAX_SHIFT)
    cosine, sine = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    centre = (side - 1) / 2
    # Rows of the inverse map: from a pixel of the result to one of the source.
    x_terms = (flip * cosine, -flip * sine)
    y_terms = (sine, cosine)
    offset_x = centre - (x_terms[0] + x_terms[1]) * centre + shift[:, 0] * side
    offset_y = centre - (y_terms[0] + y_terms[1]) * centre + shift[:, 1] * side
    zero = tf.zeros((count,))
    transforms = tf.stack([*x_terms, offset_x, *y_terms, offset_y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=(side, side),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _recolour(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Exposure, contrast, white balance and tone curve of another camera."""
    count, channels = tf.shape(images)[0], images.shape[-1]
    seeds = tf.random.split(seed, 4)
    gains = _uniform(count, *CHANNEL_GAIN, seeds[0], shape=(1, 1, 3))
    contrast = _uniform(count, *CONTRAST, seeds[1])
    brightness = _uniform(count, -BRIGHTNESS, BRIGHTNESS, seeds[2])
    bend = _uniform(count, -TONE_BEND, TONE_BEND, seeds[3])
    factor = contrast * tf.tile(gains, (1, 1, 1, channels // 3))
    # A parabola through black and white: nearly a gamma curve, and much faster.
    curved = images * (1 + bend * (1 - images))
    return tf.clip_by_value((curved - 0.5) * factor + 0.5 + brightness, 0.0, 1.0)


def _blur(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mix with a softened copy; each picture by a share of its own."""
    count = tf.shape(images)[0]
    seeds = tf.random.split(seed, 2)
    soft = tf.nn.avg_pool2d(images, 3, 1, "SAME")
    share = _chance(count, BLUR, seeds[0]) * _uniform(count, 0.0, 1.0, seeds[1])
    return images + share * (soft - images)


def _add_noise(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Sensor noise; each picture with a strength of its own."""
    count = tf.shape(images)[0]
    seeds = tf.random.split(seed, 3)
    strength = _chance(count, NOISE, seeds[0]) * _uniform(
        count, 0.0, MAX_NOISE, seeds[1]
    )
    # Uniform noise of that deviation: normal noise takes four times as long.
    reach = 3**0.5
    noise = tf.random.stateless_uniform(tf.shape(images), seeds[2], -reach, reach)
    return tf.clip_by_value(images + noise * strength, 0.0, 1.0)


def _filmed(images: tf.Tensor) -> tf.Tensor:
    """1 where a view shows something, 0 where it is black for want of a picture."""
    side, channels = images.shape[1], images.shape[-1]
    views = tf.reshape(images, (-1, side, side, channels // 3, 3))
    there = tf.cast(tf.reduce_max(views, axis=-1, keepdims=True) > 0, tf.float32)
    return tf.reshape(tf.tile(there, (1, 1, 1, 1, 3)), tf.shape(images))
