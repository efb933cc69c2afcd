"""LivenessNet: the small CNN that tells a bona fide face from an attack.

from livenessnet import LivenessNet
model = LivenessNet.build(width=80, height=80, depth=6, classes=2)
"""

from collections.abc import Sequence

from liveness.constants import LITE0_TRUNK, SMALL_TRUNK, TRUNKS

FILTERS = (16, 32, 64, 96)  # of each block; the family's original has 16 and 32
DENSE_UNITS = 64
LOGITS = "logits_"  # how the name of each view's last layer starts
# Of the views' logits in their sum, by how many there are: what is around a face tells
# more than the face. Chosen on sites left out; docs/tried.md.
VIEW_WEIGHTS = {1: (1.0,), 2: (0.3, 1.0), 3: (0.5, 0.5, 1.0)}

# EfficientNet-Lite0: B0 of Tan and Le (2019), table 1, without squeeze-and-excitation
# and with ReLU6 (Google's release of 2020). A stage: repeats, kernel, stride, expansion
# of the channels, filters.
LITE0_STEM = 32  # filters
LITE0_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LITE0_BLOCKS = 11  # of 16: the first five stages, up to stride 16
LITE0_EPSILON = 1e-3  # of its batch normalisation
LITE0_DROPOUT = 0.3


class LivenessNet:
    """A trunk of convolutions for each view of a face, dense, softmax.

    The trunk is VGG-like (``SMALL_TRUNK``: blocks of conv-BN-conv-BN-pool-dropout) or
    the first part of EfficientNet-Lite0 (``LITE0_TRUNK``).
    """

    @staticmethod
    def build(
        width: int,
        height: int,
        depth: int,
        classes: int,
        *,
        filters: Sequence[int] = FILTERS,
        trunk: str = SMALL_TRUNK,
    ):
        """Build an untrained network.

        Each three channels of the input are one view of the face (inside the face,
        the face with its surroundings). A view has layers of its own, which end in
        a layer ``LOGITS`` with its number; ``each_view`` has them apart. Their sum by
        ``VIEW_WEIGHTS`` decides. The first is meant to lie inside the face: in training
        the small trunk drops single values of it, and whole maps of the others. A view
        that is not there is black, and its logits nearly equal.

        Args:
            width: Of the input in pixels, at least 2 ** (blocks + 1) for blocks
                to have something to pool.
            height: As width.
            depth: Channels of the input, 3 for each view.
            classes: Number of outputs.
            filters: Number of filters of each block of the small trunk.
            trunk: One of ``TRUNKS``. Both take the same input; ``LITE0_TRUNK`` turns it
                into what it was trained on, (x - 127) / 128 of 0 to 255, by itself.

        Returns:
            keras.Model: (N, height, width, depth) float32 in [0, 1] to (N, classes)
            float32, probabilities that add up to 1.

        Raises:
            ValueError: If the depth is no multiple of 3, the input is too small or
                the trunk is unknown.
        """
        from keras import Model, layers  # seconds to import; --help goes without

        if depth < 3 or depth % 3:
            raise ValueError(f"Expected a multiple of 3 channels. Received: {depth}")
        if min(width, height) < 2 ** (len(filters) + 1):
            raise ValueError(
                f"Expected a side of {2 ** (len(filters) + 1)} pixels or more. "
                f"Received: {width}x{height}"
            )
        if trunk not in TRUNKS:
            raise ValueError(f"Expected a trunk of {TRUNKS}. Received: {trunk!r}")
        inputs = layers.Input((height, width, depth))
        logits = []
        for view, first in enumerate(range(0, depth, 3)):
            x = _channels(inputs, first, depth)
            if trunk == LITE0_TRUNK:
                x = efficientnet_lite0(x, name=f"view_{view}")
                x = layers.GlobalAveragePooling2D()(x)
                x = layers.Dropout(LITE0_DROPOUT)(x)
            else:
                for layer in _layers(filters, whole_maps=first > 0):
                    x = layer(x)
            logits.append(layers.Dense(classes, name=f"{LOGITS}{view}")(x))
        if len(logits) > 1:
            weights = VIEW_WEIGHTS.get(len(logits), (1.0,) * len(logits))
            logits = [
                layers.Rescaling(weight)(one) if weight != 1 else one
                for weight, one in zip(weights, logits, strict=True)
            ]
            logits = [layers.Add()(logits)]
        return Model(inputs, layers.Softmax()(*logits))

    @staticmethod
    def each_view(network):
        """Return the network with the logits of each view apart, to train them.

        Args:
            network: Of ``build``.

        Returns:
            keras.Model: The input of the network to (N, views, classes) float32.
        """
        from keras import Model, ops

        found = {
            one.name: one.output
            for one in network.layers
            if one.name.startswith(LOGITS)
        }
        logits = [found[name] for name in sorted(found)]
        return Model(network.input, ops.stack(logits, axis=1))

    @staticmethod
    def view_features(network):
        """Return the network with what the last layer of each view sees.

        Args:
            network: Of ``build``.

        Returns:
            keras.Model: The input of the network to (N, units of all views) float32,
            each view's times its weight in the sum, and (N, classes) float32.

        Raises:
            ValueError: If the network has no last layers of its own, as an average of
                several.
        """
        from keras import Model, layers

        features = [
            layers.Rescaling(weight, name=f"features_{layer.name}")(layer.input)
            for layer, weight in _last_layers(network)
        ]
        joined = features[0]
        if len(features) > 1:
            joined = layers.Concatenate(name="features")(features)
        return Model(network.input, [joined, network.output])

    @staticmethod
    def add_to_logits(network, weights, bias: float, *, label: int) -> None:
        """Add ``features @ weights + bias`` to the logit of a label over the other one.

        Args:
            network: Of ``build`` with two classes; changed here.
            weights: (units of all views,) in the order of ``view_features``.
            bias: Added alike for every picture.
            label: Index of the label, 0 or 1.

        Raises:
            ValueError: As ``view_features``.
        """
        signs = [-0.5, -0.5]
        signs[label] = 0.5  # half to the one, half off the other
        start = 0
        for layer, weight in _last_layers(network):
            kernel, offset = layer.get_weights()
            part = weights[start : start + len(kernel)]
            start += len(kernel)
            kernel = kernel + part[:, None] * signs
            layer.set_weights([kernel, offset])
        # The last view alone carries the bias; its weight is never 0.
        offset = offset + [bias / weight * sign for sign in signs]
        layer.set_weights([kernel, offset])

    @staticmethod
    def average(networks: Sequence):
        """Join networks into one whose logits are the mean of the logits of several.

        Where the scores of an unknown camera lie is luck of a training; the mean
        has less of it (MODEL_CARD.md).

        Args:
            networks: Of ``build``, alike, 1 or more, each trained by itself.

        Returns:
            keras.Model: As of ``build``; a single network as it is.
        """
        from keras import Model, layers

        if len(networks) == 1:
            return networks[0]
        inputs = layers.Input(networks[0].input_shape[1:])
        logits = [
            Model(one.input, one.layers[-1].input, name=f"network_{number}")(inputs)
            for number, one in enumerate(networks)
        ]
        return Model(inputs, layers.Softmax()(layers.Average()(logits)))


def _last_layers(network) -> list[tuple]:
    """Return the last layer of each view of a network of ``build``, and its weight."""
    last = [layer for layer in network.layers if layer.name.startswith(LOGITS)]
    if not last:
        raise ValueError(f"Expected layers named {LOGITS}0 up. Received: none")
    weights = VIEW_WEIGHTS.get(len(last), (1.0,) * len(last))
    return list(zip(sorted(last, key=lambda layer: layer.name), weights, strict=True))


def efficientnet_lite0(x, *, name: str, blocks: int = LITE0_BLOCKS):
    """Return the first blocks of EfficientNet-Lite0, after the scaling that it expects.

    Its layers are called ``{name}_stem``, ``{name}_0_depthwise`` and so on, their batch
    normalisations the same with ``_bn``; ``liveness.training.pretrained`` goes by that.

    Args:
        x: (N, height, width, 3) float32 in [0, 1], BGR, a Keras tensor.
        name: How the names of all layers start.
        blocks: 1 to 16.

    Returns:
        (N, h, w, filters) Keras tensor; 112 filters at stride 16 after 11 blocks.

    Source: Tan and Le, EfficientNet, ICML 2019, table 1; the Lite variant of Google's
    TPU models.
    """
    from keras import layers

    # (255 x - 127) / 128. BGR stays: the stem's weights are turned instead.
    x = layers.Rescaling(255 / 128, offset=-127 / 128, name=f"{name}_scaling")(x)
    x = _lite0_convolution(x, LITE0_STEM, 3, name=f"{name}_stem", strides=2)
    plan = [
        (kernel, stride if number == 0 else 1, expansion, filters)
        for repeats, kernel, stride, expansion, filters in LITE0_STAGES
        for number in range(repeats)
    ]
    for number, (kernel, stride, expansion, filters) in enumerate(plan[:blocks]):
        block, before = f"{name}_{number}", x
        if expansion > 1:
            x = _lite0_convolution(
                x, x.shape[-1] * expansion, 1, name=f"{block}_expand"
            )
        x = layers.DepthwiseConv2D(
            kernel,
            strides=stride,
            padding="same",
            use_bias=False,
            name=f"{block}_depthwise",
        )(x)
        x = _lite0_normalised(x, name=f"{block}_depthwise")
        x = layers.ReLU(6)(x)
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{block}_project")(x)
        x = _lite0_normalised(x, name=f"{block}_project")
        if stride == 1 and before.shape[-1] == filters:
            x = layers.Add()([before, x])
    return x


def _lite0_convolution(x, filters: int, kernel: int, *, name: str, strides: int = 1):
    """Conv-BN-ReLU6."""
    from keras import layers

    x = layers.Conv2D(
        filters, kernel, strides=strides, padding="same", use_bias=False, name=name
    )(x)
    return layers.ReLU(6)(_lite0_normalised(x, name=name))


def _lite0_normalised(x, *, name: str):
    """Batch normalisation; its memory is short enough for a fine-tuning."""
    from keras import layers

    return layers.BatchNormalization(
        epsilon=LITE0_EPSILON, momentum=0.95, name=f"{name}_bn"
    )(x)


def _layers(filters: Sequence[int], *, whole_maps: bool) -> list:
    """Conv-BN-conv-BN-pool-dropout for each number of filters, and dense."""
    from keras import layers

    found = []
    for number, count in enumerate(filters):
        # The first convolution halves the picture: four times faster.
        found += _convolution(count, strides=2 if number == 0 else 1)
        found += _convolution(count)
        # What helps inside the face harms its surroundings: docs/tried.md.
        dropout = layers.SpatialDropout2D(0.1) if whole_maps else layers.Dropout(0.25)
        found += [layers.MaxPooling2D(), dropout]
    found += [layers.GlobalAveragePooling2D(keepdims=True), layers.Flatten()]
    found += [layers.Dropout(0.4), layers.Dense(DENSE_UNITS, activation="relu")]
    return [*found, layers.Dropout(0.4)]


def _convolution(filters: int, *, strides: int = 1) -> list:
    """Conv-BN-ReLU; the runtime folds the normalisation into the convolution."""
    from keras import layers

    return [
        layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.95),
        layers.ReLU(),
    ]


def _channels(x, first: int, depth: int):
    """Three channels of the input, by a layer that every file format keeps."""
    from keras import layers

    if depth == 3:
        return x
    rest = depth - first - 3
    cut = ((0, 0), (first, rest))  # read as rows and columns: width and channels
    return layers.Cropping2D(cut, data_format="channels_first")(x)
