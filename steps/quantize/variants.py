"""A variant: the classifier in other numbers, with all that was found out about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from energy import Measurement
from steps.evaluate import Scores
from steps.quantize.inference import InferenceEnergy
from steps.quantize.timing import Latency
from steps.quantize.weights import FLOAT_BITS

TOLERANCE = 0.01
"""Of validation accuracy, that a variant may lose and still be chosen."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The classifier in one kind of numbers.

    Attributes:
        mode: as in ``--quantization``, or ``float32``.
        content: bytes of the ``.tflite`` file, from scaled rows to probabilities, both float32;
            None where the variant is emulated.
        validation: on the validation part, computed by running this very variant; None if that part
            is empty.
        test: on the test part, likewise; decides nothing.
        size_bytes: of the weights as the file stores them, biases included; None without a file.
        average_bitwidth: mean width of a dense or convolution weight in bits, by MASE's definition;
            None if there is none.
        bit_operations: multiply-adds of one row, each counted as often as the widths of its two
            numbers multiplied; None if not known.
        simulated: whether it is emulated in floating point, so that there is no file, and neither
            latency nor joules: those of an emulation would say nothing.
        uncovered: names of the layers with weights that stayed floating point.
        fine_tuning: what quantization-aware training took; None if there was none.
        latency: of one call, by how many rows it takes; the turns are those of all files.
        inference: joules of one row in a call of its own; None if not measured.
    """

    mode: str
    content: bytes | None
    validation: Scores | None
    test: Scores
    size_bytes: int | None
    average_bitwidth: float | None
    bit_operations: int | None
    simulated: bool
    uncovered: tuple[str, ...]
    fine_tuning: Measurement | None = None
    latency: Mapping[int, Latency] = field(default_factory=dict)
    inference: InferenceEnergy | None = None

    @property
    def memory_density(self) -> float | None:
        """How many times more weights fit in the same memory than of 32 bits, as MASE has it."""
        return None if self.average_bitwidth is None else FLOAT_BITS / self.average_bitwidth


@dataclass(frozen=True)
class Choice:
    """Which variant is for deployment.

    Attributes:
        variant: with a file; None where none of them is.
        reason: in words.
    """

    variant: Variant | None
    reason: str


@dataclass(frozen=True)
class Quantization:
    """The variants of a classifier beside the float32 one, all in the same runtime.

    Attributes:
        float32: what all others are held against; None if LiteRT's converter refused the model.
        variants: those that could be made, in the order of the configuration.
        refused: by mode, why a variant could not be made, in one line.
    """

    float32: Variant | None
    variants: tuple[Variant, ...]
    refused: Mapping[str, str]

    @property
    def chosen(self) -> Variant | None:
        """The variant for deployment, if there is one; see `choice`."""
        return self.choice.variant

    @property
    def choice(self) -> Choice:
        """The variant for deployment, and why it is that one.

        Of those with a file whose validation accuracy is at most `TOLERANCE` below float32's, the
        one with the least gross joules per inference. Where not each of them has joules that
        stand, the one with the lowest median latency of a single row. Where a final training left
        no validation rows to decide by, the only one with a file, unless there are several.
        """
        files = [variant for variant in self.variants if not variant.simulated]
        if self.float32 is None or not files:
            return Choice(None, "there is no file")
        if self.float32.validation is None:
            if len(files) > 1:
                return Choice(None, "there are no validation rows to decide by")
            return Choice(files[0], "the only one; there are no validation rows to decide by")
        able = [variant for variant in files if self._is_accurate_enough(variant)]
        kept = f"more than {TOLERANCE} of float32's validation accuracy"
        if not able:
            return Choice(None, f"each loses {kept}")
        joules = {
            variant.mode: variant.inference.gross.median_j
            for variant in able
            if variant.inference is not None and variant.inference.rejected is None
        }
        if len(joules) == len(able):
            thriftiest = min(able, key=lambda variant: joules[variant.mode])
            return Choice(thriftiest, f"the least energy of those that do not lose {kept}")
        fastest = min(able, key=lambda variant: variant.latency[1].median_ms)
        return Choice(fastest, f"the least latency of those that do not lose {kept}")

    def _is_accurate_enough(self, variant: Variant) -> bool:
        if variant.validation is None or self.float32 is None or self.float32.validation is None:
            return False
        lost = self.float32.validation.accuracy - variant.validation.accuracy
        # Of floats, 0.96 - 0.95 is a little more than 0.01.
        return lost <= TOLERANCE + 1e-9
