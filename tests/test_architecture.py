"""The house: three floors, MLflow in one file, no TensorFlow behind compare."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("module", ["pipeline.compare", "pipeline.__main__", "pipeline.tracking"])
def test_reading_results_imports_no_tensorflow(project, module):
    code = f"import sys, {module}; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_help_of_compare_imports_neither_mlflow_nor_pandas(project):
    code = (
        "import sys\nsys.argv = ['compare', '--help']\n"
        "from pipeline import terminal\nfrom pipeline.compare import compare\n"
        "try: terminal.main(compare)\n"
        "except SystemExit as done: assert done.code == 0\n"
        "print({'mlflow', 'pandas', 'sklearn', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert "--experiment" in done.stdout
    assert done.stdout.strip().endswith("set()")
