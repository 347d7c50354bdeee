"""Pictures that go into a run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure


def confusion_matrix(counts: "npt.NDArray[np.int64]", class_names: Sequence[str]) -> "Figure":
    """Rows of the true class by the class they were told to be, shape (classes, classes)."""
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    inches = min(4 + 0.35 * len(class_names), 16)
    figure = Figure(figsize=(inches, inches), layout="constrained")
    display = ConfusionMatrixDisplay(counts, display_labels=class_names)
    display.plot(
        ax=figure.subplots(),
        cmap="Greens",
        colorbar=False,
        xticks_rotation="vertical" if len(class_names) > 10 else "horizontal",
    )
    return figure
