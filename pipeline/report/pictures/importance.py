"""Which hyperparameter matters."""

from collections.abc import Iterator

from pipeline.report.data import ReportData, Table
from pipeline.report.pictures.picture import Picture, blank, plain, rounded
from pipeline.report.theme import COLOURS


def importance(data: ReportData) -> Iterator[Picture]:
    """Shares of what varies in the cost, the largest on top."""
    effects = data.effects.effects if data.effects else ()
    known = [(each.importance, each.parameter) for each in effects if each.importance is not None]
    if not known:
        return
    known.sort(reverse=True)
    figure = blank(height=76 + 28 * len(known))
    figure.add_bar(
        x=rounded(share * 100 for share, _ in known),
        y=[plain(name) for _, name in known],
        orientation="h",
        marker={"color": COLOURS[0]},
        text=[f"{share * 100:.0f} %" for share, _ in known],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x} %<extra></extra>",
    )
    most = max(share for share, _ in known) * 100
    figure.update_xaxes(title_text="share (%)", range=[0, most * 1.12])
    figure.update_yaxes(type="category", autorange="reversed")
    share, first = known[0]
    yield Picture(
        name="importance",
        choice="importance",
        title="Which of them matters",
        says=(
            f"Of what varies in the cost to the target, {share * 100:.0f} % go with {first}. A "
            "share says how much a hyperparameter moves the cost, not in which direction."
        ),
        figure=figure,
        numbers=Table(
            "",
            "Importance of each hyperparameter",
            ("hyperparameter", "share"),
            [(name, f"{share * 100:.1f} %") for share, name in known],
        ),
    )
