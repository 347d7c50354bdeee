"""Pictures that go into a run."""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

    from steps.train import Epoch
    from steps.train.find_lr import LearningRateCurve

POINTS_SHOWN = 4000
"""More than there are pixels only make the page heavy: batches are averaged down to so many."""

TRAIN, VALIDATION = "#2b7a3d", "#c2571a"


def confusion_matrix(counts: npt.NDArray[np.int64], class_names: Sequence[str]) -> "Figure":
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


def training_card(
    epochs: Sequence["Epoch"], batch_losses: npt.NDArray[np.float64] | None, target: float
) -> "go.Figure":
    """Loss and accuracy over epochs, gradient steps, seconds and joules.

    Args:
        epochs: all of one training.
        batch_losses: of each batch alone, shape (epochs, steps), if they are known.
        target: the accuracy to exceed; not shown for a final training, which validates nothing.
    """
    from plotly.subplots import make_subplots

    axes: dict[str, list[float]] = {
        "epochs": [epoch.number for epoch in epochs],
        "seconds": list(accumulate(epoch.time_s for epoch in epochs)),
    }
    if batch_losses is not None:
        steps = batch_losses.shape[1]
        axes["gradient steps"] = [epoch.number * steps for epoch in epochs]
    energies = [epoch.energy_j for epoch in epochs if epoch.energy_j is not None]
    if len(energies) == len(epochs):
        axes["joules"] = list(accumulate(energies))

    validates = any(epoch.val_accuracy is not None for epoch in epochs)
    curves = [("training", TRAIN, "train_loss", "train_accuracy")]
    if validates:
        curves.append(("validation", VALIDATION, "val_loss", "val_accuracy"))
    figure = make_subplots(2, len(axes), shared_xaxes="columns", shared_yaxes="rows")
    for column, (name, along) in enumerate(axes.items(), 1):
        shown = {"row": 1, "col": column}
        if name == "gradient steps" and batch_losses is not None:
            at, losses = _thinned(batch_losses)
            figure.add_scatter(x=at, y=losses, name="each batch", line_color="#b9d8c0", **shown)
        for name_, color, loss, accuracy in curves:
            for row, attribute in ((1, loss), (2, accuracy)):
                figure.add_scatter(
                    x=along,
                    y=[getattr(epoch, attribute) for epoch in epochs],
                    name=name_,
                    legendgroup=name_,
                    showlegend=(row, column) == (1, 1),
                    line_color=color,
                    mode="lines+markers" if len(epochs) < 50 else "lines",
                    row=row,
                    col=column,
                )
        if validates:
            figure.add_hline(target, line_dash="dot", row=2, col=column)
        figure.update_xaxes(title_text=name, row=2, col=column)
    figure.update_yaxes(type="log", row=1)
    figure.update_yaxes(title_text="loss", row=1, col=1)
    figure.update_yaxes(title_text="accuracy", row=2, col=1)
    figure.update_layout(template="plotly_white", height=640, margin={"t": 40, "r": 20})
    return figure


def _thinned(
    batch_losses: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    losses = batch_losses.ravel()
    parts = np.array_split(losses, min(POINTS_SHOWN, len(losses)))
    ends = np.cumsum([len(part) for part in parts])
    return ends.astype(np.float64), np.array([part.mean() for part in parts])


def learning_rate_curve(curve: "LearningRateCurve") -> "go.Figure":
    """Loss over the learning rate, as it was and smoothed, with the chosen rate marked."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(x=curve.rates, y=curve.losses, name="each batch", line_color="#b9d8c0")
    figure.add_scatter(x=curve.rates, y=curve.smoothed, name="smoothed", line_color=TRAIN)
    figure.add_vline(curve.chosen, line_color=VALIDATION)
    figure.update_xaxes(type="log", title_text="learning rate")
    figure.update_yaxes(title_text="loss")
    title = f"Chosen learning rate: {curve.chosen:.3g}"
    figure.update_layout(template="plotly_white", height=480, title=title)
    return figure
