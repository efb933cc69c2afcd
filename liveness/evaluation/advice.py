"""What would help a model on a camera, after it was measured there."""

from liveness.evaluation.metrics import FEW_FACES, ErrorRates

GOOD_ACER = 0.02  # from here on other faces tell more than another change
GAIN = 0.02  # of ACER that a threshold of one's own has to promise
BAD_EER = 0.03  # the best that a threshold can do; above it the scores overlap


def advice(rates: ErrorRates, *, bona_fide: int, attacks: int) -> list[str]:
    """Say which of calibrating, adapting and filming more would help, and why.

    Args:
        rates: At the threshold in use.
        bona_fide: Number of bona fide faces.
        attacks: Number of attacks.

    Returns:
        One sentence for each, the most useful first.
    """
    if min(bona_fide, attacks) < FEW_FACES:
        return [
            f"Film more: {bona_fide} real and {attacks} fake faces say little; take "
            f"{FEW_FACES} or more of each from films of several days."
        ]
    sentences = []
    if rates.acer <= GOOD_ACER:
        return [
            f"Nothing here asks for a change (ACER {rates.acer:.1%}): film other "
            "people, attacks and light to find what does."
        ]
    if rates.eer > BAD_EER:
        sentences.append(
            "Adapt (train_model.py --start-from): real and fake scores overlap (EER "
            f"{rates.eer:.1%}), so no threshold separates them."
        )
    if rates.acer - rates.eer > GAIN:
        sentences.append(
            f"Calibrate (--calibrate): the threshold is off for this camera (ACER "
            f"{rates.acer:.1%}, EER {rates.eer:.1%})."
        )
    worst = max(rates.apcer_by_attack, key=rates.apcer_by_attack.get)
    if rates.apcer > rates.bpcer:
        sentences.append(
            f"Film more {worst} attacks: {rates.apcer:.1%} of them pass, and "
            f"{rates.bpcer:.1%} of the real faces are refused."
        )
    else:
        sentences.append(
            f"Film more real faces like those refused ({rates.bpcer:.1%}): see which "
            "light, distance or person they share."
        )
    return sentences
