"""Failures that a user can cause, one class for each kind.

Every message is one line that says what happened, what was expected and what
to do about it. ``cli.run`` prints it as ``error: ...`` and exits with 1.
"""


def reason_of(error: OSError) -> str:
    """Return why a file operation failed, such as "no space left on device"."""
    return (error.strerror or str(error)).lower()


class LivenessError(Exception):
    """Base of every failure whose message is meant for the user."""


class ImageError(LivenessError):
    """A picture cannot be read, is too large or cannot be written."""


class SourceError(LivenessError):
    """A video, camera or network stream cannot be opened or broke for good."""


class DetectorError(LivenessError):
    """The face detector's files are missing or not the expected ones."""


class ModelError(LivenessError):
    """A model, label encoder or card is missing, foreign or unsafe."""


class DatasetError(LivenessError):
    """A dataset folder does not have the expected form or content."""


class ClusterError(LivenessError):
    """A Dask cluster cannot be reached, is lost, or does not match this machine."""


class OutputError(LivenessError):
    """A result cannot be written, or nothing was produced at all."""


class EncodingsError(LivenessError):
    """A face encodings file is damaged, foreign or unsafe."""


class IdentityError(LivenessError):
    """Face recognition cannot be used, or a person cannot be enrolled."""
