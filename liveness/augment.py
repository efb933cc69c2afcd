"""What other cameras, light and hands would have done to a training picture.

A Keras layer that runs in the training pipeline only and is never part of a
saved model. Importing this module imports TensorFlow.
"""

import keras
import tensorflow as tf

FLIP = 0.5  # probability of a mirrored picture
QUARTER_TURN = 0.25  # of a phone's video that lies on its side
BLUR = 0.5  # of a soft focus
OUT_OF_FOCUS = 0.3  # of those: a stronger one
NOISE = 0.5  # of sensor noise
MAX_ROTATION_RAD = 0.2
MAX_STRETCH = 0.1  # of the width, natural logarithm
SHOWN = (0.7, 1.0)  # share of the picture's side that is seen; less is a zoom
SHOWN_WIDE = (0.85, 1.0)
MAX_SHIFT_WIDE = 0.04  # of the side
FRAMED = 0.5  # of a wide picture whose frame ends nearer to the face
NEAREST_EDGE = 0.37  # of half the side: just outside the face at a scale of 2.7
# Stronger changes hide what a screen does to colours: MODEL_CARD.md.
TONE_BEND = 0.25  # of the tone curve; 0.4 is about a gamma of 0.75
CONTRAST = (0.83, 1.14)
BRIGHTNESS = 0.07  # added or taken off, of the full range
CHANNEL_GAIN = (0.91, 1.1)  # white balance, each channel
MAX_NOISE = 0.04  # standard deviation, of the full range


class RandomCamera(keras.layers.Layer):
    """Random geometry, colour, focus and noise, seeded by the call.

    Args:
        side_px: Side of the pictures that are returned. Larger ones go in, so that
            a zoom finds detail that is there.
    """

    def __init__(self, side_px: int) -> None:
        super().__init__()
        self._side_px = side_px

    def call(self, images: tf.Tensor, is_wide: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A variation of each picture.

        Args:
            images: (N, side, side, 3) float32 in [0, 1].
            is_wide: (N,) bool, whether it shows what is around the face: then it
                moves less, and the frame may end anywhere beside the face.
            seed: (2,) int32; the same seed gives the same variation.

        Returns:
            (N, side_px, side_px, 3) float32 in [0, 1].
        """
        seeds = tf.random.split(seed, 5)
        images = _move(images, is_wide, self._side_px, seeds[0])
        filmed = tf.cast(tf.reduce_max(images, axis=-1, keepdims=True) > 0, tf.float32)
        filmed *= _random_frame(is_wide, self._side_px, seeds[4])
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


def _move(
    images: tf.Tensor, is_wide: tf.Tensor, side_px: int, seed: tf.Tensor
) -> tf.Tensor:
    """Mirror, turn, zoom, stretch and shift in one resampling."""
    count, side = tf.shape(images)[0], images.shape[1]
    seeds = tf.random.split(seed, 7)

    def draw(low, high, number):
        return tf.random.stateless_uniform((count,), seeds[number], low, high)

    flip = tf.where(draw(0.0, 1.0, 0) < FLIP, -1.0, 1.0)
    turns = tf.where(draw(0.0, 1.0, 1) < QUARTER_TURN, tf.floor(draw(1.0, 4.0, 2)), 0.0)
    angle = draw(-MAX_ROTATION_RAD, MAX_ROTATION_RAD, 3) + turns * (3.14159265 / 2)
    shown = draw(0.0, 1.0, 4)
    face, wide = (low + (high - low) * shown for low, high in (SHOWN, SHOWN_WIDE))
    shown = tf.where(is_wide, wide, face)
    stretch = tf.exp(draw(-MAX_STRETCH, MAX_STRETCH, 6))
    # A zoom leaves room to look beside the centre.
    reach = tf.where(is_wide, MAX_SHIFT_WIDE, (1 - shown) / 2)[:, None] * side
    shift = tf.random.stateless_uniform((count, 2), seeds[5], -1.0, 1.0) * reach
    step = shown * (side / side_px)  # pixels of the source for one of the result
    cosine, sine = tf.cos(angle) * step, tf.sin(angle) * step
    # Rows of the inverse map: from a pixel of the result to one of the source.
    x_terms = (flip * stretch * cosine, -flip * stretch * sine)
    y_terms = (sine, cosine)
    before, after = (side - 1) / 2, (side_px - 1) / 2
    offset_x = before - (x_terms[0] + x_terms[1]) * after + shift[:, 0]
    offset_y = before - (y_terms[0] + y_terms[1]) * after + shift[:, 1]
    zero = tf.zeros((count,))
    transforms = tf.stack([*x_terms, offset_x, *y_terms, offset_y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=(side_px, side_px),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _random_frame(is_wide: tf.Tensor, side_px: int, seed: tf.Tensor) -> tf.Tensor:
    """(N, side, side, 1) of ones inside a frame around the face, zeros outside.

    How near a face is to the frame's edge says how it was filmed and not what it
    is; without this it is what a network learns first.
    """
    count = tf.shape(is_wide)[0]
    seeds = tf.random.split(seed, 3)
    cut = is_wide & (_uniform(count, 0.0, 1.0, seeds[0], shape=()) < FRAMED)
    # Each edge by itself: half of the pictures' edges stay where they were.
    edges = _uniform(count, NEAREST_EDGE, 1.0, seeds[1], shape=(4,))
    moved = cut[:, None] & (_uniform(count, 0.0, 1.0, seeds[2], shape=(4,)) < 0.5)
    edges = tf.where(moved, edges, 2.0)
    place = (tf.range(side_px, dtype=tf.float32) + 0.5) * (2 / side_px) - 1
    columns = (place > -edges[:, :1]) & (place < edges[:, 1:2])
    rows = (place > -edges[:, 2:3]) & (place < edges[:, 3:])
    return tf.cast(rows[:, :, None] & columns[:, None, :], tf.float32)[..., None]


def _recolour(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Exposure, contrast, white balance and tone curve of another camera."""
    count = tf.shape(images)[0]
    seeds = tf.random.split(seed, 4)
    gains = _uniform(count, *CHANNEL_GAIN, seeds[0], shape=(1, 1, 3))
    contrast = _uniform(count, *CONTRAST, seeds[1])
    brightness = _uniform(count, -BRIGHTNESS, BRIGHTNESS, seeds[2])
    bend = _uniform(count, -TONE_BEND, TONE_BEND, seeds[3])
    factor = contrast * gains
    # A parabola through black and white: nearly a gamma curve, and much faster.
    curved = images * (1 + bend * (1 - images))
    return tf.clip_by_value((curved - 0.5) * factor + 0.5 + brightness, 0.0, 1.0)


def _blur(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mix with a softened copy; each picture by a share of its own."""
    count = tf.shape(images)[0]
    seeds = tf.random.split(seed, 3)
    soft = tf.nn.avg_pool2d(images, 3, 1, "SAME")
    softer = tf.nn.avg_pool2d(soft, 5, 1, "SAME")
    soft += _chance(count, OUT_OF_FOCUS, seeds[2]) * (softer - soft)
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
