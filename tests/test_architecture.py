"""The house: three floors, MLflow in one folder, no TensorFlow behind compare; and its map."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from steps.configuration import Configuration

FLOORS = ("energy", "steps", "pipeline")
# The served file is MLflow's guest: it travels with the model and may not import MLflow either.
ONLY_PLACE_FOR_MLFLOW = Path("pipeline/tracking")


def sources(project: Path, floor: str) -> list[Path]:
    return sorted((project / floor).rglob("*.py"))


def imported_packages(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_no_import_runs_up_a_floor(project, floor):
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    up = {
        str(file): imported_packages(file) & above
        for file in sources(project, floor)
        if imported_packages(file) & above
    }
    assert sources(project, floor)
    assert up == {}


def test_only_tracking_talks_to_mlflow(project):
    talkers = {
        file.relative_to(project)
        for floor in FLOORS
        for file in sources(project, floor)
        if "mlflow" in imported_packages(file)
    }
    assert talkers
    assert {file.parent for file in talkers} == {ONLY_PLACE_FOR_MLFLOW}


def test_energy_knows_nothing_of_keras(project):
    strangers = {"keras", "tensorflow", "mlflow"}
    assert not any(imported_packages(file) & strangers for file in sources(project, "energy"))


def module_graph(project: Path) -> dict[str, set[str]]:
    """Imports at the top of modules (those inside functions cannot make a circle)."""
    modules = {
        ".".join(file.relative_to(project).with_suffix("").parts).removesuffix(".__init__"): file
        for floor in FLOORS
        for file in sources(project, floor)
    }
    graph: dict[str, set[str]] = {}
    for name, file in modules.items():
        targets: set[str] = set()
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                targets |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        graph[name] = (targets & set(modules)) - {name}
    return graph


def test_no_two_modules_import_each_other_in_a_loop(project):
    graph = module_graph(project)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"loop: {' -> '.join((*path, name))}"
        if name not in done:
            for target in graph[name]:
                # A package's face imports its modules; a module may import its package's siblings.
                if not name.startswith(target + "."):
                    visit(target, (*path, name))
            done.add(name)

    for module in graph:
        visit(module, ())
    assert len(done) == len(graph) > 10


def test_no_two_packages_import_each_other(project):
    """A reader of one need not know the other."""
    graph = module_graph(project)
    packages = {name.rpartition(".")[0] for name in graph if name.count(".") > 1}

    def package(module: str) -> str:
        above = ".".join(module.split(".")[:2])
        return above if above in packages else module

    arrows = {
        (package(module), package(target))
        for module, targets in graph.items()
        for target in targets
        if package(module) != package(target)
    }
    both_ways = {pair for pair in arrows if pair[::-1] in arrows}
    assert len(packages) > 10
    assert both_ways == set()


def python(project: Path, code: str) -> str:
    """What a program prints whose last line tells of `loaded` packages."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


HEAVY = "{'keras', 'mlflow', 'optuna', 'pandas', 'plotly', 'ray', 'sklearn', 'tensorflow'}"


def test_no_module_of_the_upper_floor_brings_tensorflow_along(project):
    """Functions import it where they train: what only reads results never waits for it."""
    code = """
from importlib import import_module
from pkgutil import walk_packages
import pipeline
names = [each.name for each in walk_packages(pipeline.__path__, "pipeline.")]
for name in names:
    if name != "pipeline.compare.__main__":  # Which is a program.
        import_module(name)
print(len(names), {"keras", "optuna", "ray", "tensorflow"} & set(sys.modules))
"""
    count, _, loaded = python(project, code).strip().partition(" ")
    assert int(count) == len(sources(project, "pipeline")) - 1
    assert loaded == "set()"


def test_help_of_no_command_waits_for_a_large_library(project):
    code = f"""
from pipeline.__main__ import cli
for name in cli.commands:
    cli.main([name, "--help"], "greenest", standalone_mode=False)
print(len(cli.commands), {HEAVY} & set(sys.modules))
"""
    printed = python(project, code)
    assert printed.count("Usage: greenest ") > 10
    assert printed.endswith(f"{printed.count('Usage: greenest ')} set()\n")


def test_compare_and_all_that_it_leaves_behind_do_without_tensorflow(project, store, tmp_path):
    experiment = store.create_experiment("green")
    for seed, energy_j in enumerate((100.0, 110.0)):
        configuration = Configuration(seed=seed)
        run = store.create_run(experiment, run_name=configuration.run_name)
        for name, value in configuration.parameters().items():
            store.log_param(run.info.run_id, name, value)
        metrics = {"energy_to_accuracy_j": energy_j, "energy_spent_j": energy_j, "epochs": 12}
        for name, value in metrics.items():
            store.log_metric(run.info.run_id, name, value)
        tags = {"config_id": configuration.config_id, "outcome": "REACHED", "hardware": "one"}
        for name, value in {**tags, "dataset_digest": "d"}.items():
            store.set_tag(run.info.run_id, name, value)
        store.set_terminated(run.info.run_id)
    code = f"""
sys.modules["tensorflow"] = sys.modules["keras"] = None
sys.path.insert(0, {str(project)!r})
from pipeline.__main__ import cli
cli.main(["compare", "--record", "yes"], "greenest", standalone_mode=False)
"""
    printed = python(tmp_path, code)
    assert f"Greenest: {configuration.run_name.removesuffix('-s1')}" in printed
    assert (tmp_path / "greenest.yaml").exists()


MAP = re.compile(r"`((?:energy|steps|pipeline|tests|benchmarks|spaces|docs)/[\w./]*|\w+\.py)`")


def named_on_the_map(project: Path) -> list[Path]:
    """A bare name stands for a file beside, or in, what its row named last."""
    places = []
    for line in (project / "CONTRIBUTING.md").read_text().splitlines():
        folder = project
        for name in MAP.findall(line):
            place = (project if "/" in name else folder) / name
            folder = place.parent if place.suffix else place
            places.append(place)
    return places


def test_every_place_on_the_map_of_contributing_exists(project):
    places = named_on_the_map(project)
    assert len(places) > 40
    assert [str(place) for place in places if not place.exists()] == []


def test_every_folder_of_the_house_is_on_the_map(project):
    named = {place if place.is_dir() else place.parent for place in named_on_the_map(project)}
    folders = {
        file.parent for floor in FLOORS for file in sources(project, floor) if file.name[0] == "_"
    }
    assert folders - named - {project / "pipeline/report/pictures"} == set()


@pytest.mark.parametrize(
    ("to_change", "place"),
    [
        ("the stopping rule", "steps/train/rule.py"),
        ("the GPU's counter", "energy/sources/counter.py"),
        ("what is logged to MLflow", "pipeline/tracking/run_log.py"),
        ("the choice of the winner", "pipeline/choice/ranking.py"),
    ],
)
def test_stranger_finds_the_one_place_to_change(project, to_change, place):
    (row,) = (
        line
        for line in (project / "CONTRIBUTING.md").read_text().splitlines()
        if line.startswith(f"| {to_change} |")
    )
    assert f"`{place}`" in row and (project / place).exists()
