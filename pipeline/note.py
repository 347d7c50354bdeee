"""The description of a run that a person reads on its page in MLflow."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.markdown import code, escaped, table
from pipeline.units import (
    energy_parts,
    epochs_in_a_row,
    flags_in_words,
    grams,
    joules,
    three_digits,
    worth,
)
from pipeline.variants_table import variants_table
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

WITH_HIDDEN_LAYERS = ("mlp", "cnn")


def note(run: "RecordedRun") -> str:
    """Markdown: whether the run reached its target, what that cost, and what it was.

    The first paragraph says the most, since MLflow's page folds the rest away.
    """
    first = " ".join(filter(None, (_how_it_ended(run), _cost(run))))
    return "\n\n".join(filter(None, (first, _what(run), _rows(run), _energy(run), _test(run))))


def _what(run: "RecordedRun") -> str:
    given = run.parameters
    momentum = f", momentum {given['momentum']}" if float(given["momentum"]) else ""
    return (
        f"{code(run.name)}: {_model(given)} on "
        f"{code(given['dataset'])} ({given['partitioning']}, {given['preprocessing']}), "
        f"trained with {given['optimizer']} at learning rate {given['lr']}{momentum} and batch "
        f"size {given['batch_size']}, seed {given['seed']}."
    )


def _model(given: Mapping[str, str]) -> str:
    if given["model"] not in WITH_HIDDEN_LAYERS:
        return f"the model {code(given['model'])}"
    return f"the model {given['model']} ({code(given['hidden'])}, {given['activation']})"


def _rows(run: "RecordedRun") -> str:
    told = {
        "Rows": run.tags.get("dataset.rows"),
        "Classes": run.tags.get("dataset.classes"),
        "Parts": run.tags.get("dataset.parts"),
        "Reading": code(run.tags["dataset.reading"]) if "dataset.reading" in run.tags else None,
    }
    return " ".join(f"{name}: {value}." for name, value in told.items() if value)


def _how_it_ended(run: "RecordedRun") -> str:
    target = (
        f"the target, validation accuracy above {run.parameters['target_accuracy']} for "
        f"{epochs_in_a_row(run.parameters['patience'])}"
    )
    match run.tags.get("outcome"):
        case None if "found_lr" in run.metrics:
            return f"Found the **learning rate {run.metrics['found_lr']:.3g}** by the range test."
        case None:
            return "Not trained yet."
        case Outcome.REACHED:
            return f"**Reached** {target}, after {run.metrics['epochs']:.0f} epochs."
        case Outcome.BUDGET_EXHAUSTED:
            return f"**Missed** {target}, in {run.metrics['epochs']:.0f} epochs: its budget."
        case Outcome.DIVERGED:
            epochs = f"epoch {run.metrics['epochs']:.0f}"
            return f"**Diverged**: the loss was not finite in {epochs}. It missed {target}."
        case Outcome.FINAL:
            epochs = f"{run.metrics['epochs']:.0f} epochs"
            return f"**Final training** of {epochs}, on validation rows too: no target was checked."
        case outcome:
            reason = run.tags.get("failure", "no reason recorded")
            return f"**{outcome}**: {code(reason)}. It did not reach {target}."


def _cost(run: "RecordedRun") -> str:
    if "time_spent_s" not in run.metrics:
        return ""
    energy_j = run.metrics.get("energy_spent_j")
    emissions_kg = run.metrics.get("emissions_kg")
    total = "no energy was measured" if energy_j is None else f"**{joules(energy_j)}** {worth(run)}"
    carbon = "" if emissions_kg is None else f", {grams(emissions_kg)} CO2e"
    took = f"Training took {three_digits(run.metrics['time_spent_s'])} s, {total}{carbon}"
    return f"{took}{_fine_tuning(run)}."


def _fine_tuning(run: "RecordedRun") -> str:
    """How much of that was quantization-aware."""
    if "fine_tuned" not in run.tags:
        return ""
    energy_j = run.metrics.get("qat_energy_j")
    total = "" if energy_j is None else f" and {joules(energy_j)}"
    took = f"{three_digits(run.metrics['qat_time_s'])} s{total}"
    return f", {took} of that for quantization-aware fine-tuning"


def _energy(run: "RecordedRun") -> str:
    if "time_spent_s" not in run.metrics:
        return ""
    parts = [(part, escaped(told)) for part, told in energy_parts(run).items()]
    lines = [
        table(("part", "energy"), parts),
        "",
        f"Carbon intensity: {run.tags['carbon.intensity_g_per_kwh']} g/kWh "
        f"({escaped(run.tags['carbon.place'])}; {escaped(run.tags['carbon.source'])}). "
        f"Machine: {escaped(run.tags['hardware'])}.",
    ]
    if run.tags.get("training.caution"):
        lines += ["", f"Caution: {escaped(run.tags['training.caution'])}."]
    if "training.engine" in run.tags:
        lines += [
            "",
            f"Computed by: {run.tags['training.engine']}. XLA: {run.tags['training.jit_compile']}. "
            "Epochs of less than half a second share a reading of the energy by their time.",
        ]
    if "net_energy_j" in run.metrics:
        net = joules(run.metrics["net_energy_j"])
        lines += ["", f"Net of the idle machine ({run.tags['energy.idle']}): {net}."]
    if "calibrated_energy_j" in run.metrics:
        wall = joules(run.metrics["calibrated_energy_j"])
        lines += [
            "",
            f"By calibration {code(run.tags['energy.calibration'])}: {wall} at the wall.",
        ]
    if "energy.flags" in run.tags:
        lines += ["", f"Caution: {flags_in_words(run.tags['energy.flags'])}."]
    return "\n".join(lines)


def _test(run: "RecordedRun") -> str:
    if "test_accuracy" not in run.metrics:
        return ""
    scored = f"On the test rows, seen here only: accuracy {run.metrics['test_accuracy']:.4f}."
    if "flops" in run.metrics:
        scored += f" A row takes {run.metrics['flops']:,.0f} floating-point operations"
        uncounted = run.tags.get("flops.uncounted")
        scored += f", not counting {code(uncounted)}." if uncounted else "."
    return "\n\n".join(filter(None, (scored, variants_table(run))))
