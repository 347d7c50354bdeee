"""The winner's model in MLflow's Model Registry, where ``mlflow models serve`` finds it by name."""

import contextlib
import io
from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from pipeline.markdown import escaped
from pipeline.tracking.paths import MODEL

ALIAS = "greenest"
EXPERIMENT = "greenest.experiment"
"""Tag of a registered model of ours: whose winners its versions are."""

NOT_IN_A_NAME = "/:?"
"""The registry forbids the first two, and the third would begin a query in ``models:/NAME``."""


@dataclass(frozen=True)
class Registered:
    """A model in the registry.

    Attributes:
        name: of the registered model.
        version: of it, counted from 1.
        alias: that points to the version.
        is_new: whether it was not there before.
    """

    name: str
    version: int
    alias: str
    is_new: bool

    @property
    def uri(self) -> str:
        """What ``mlflow models serve -m`` takes."""
        return f"models:/{self.name}@{self.alias}"


def registry_name(experiment: str) -> str:
    """The registered model of an experiment: called like it, but for what is not allowed there."""
    return "".join("-" if each in NOT_IN_A_NAME else each for each in experiment)


def register(
    experiment: str, run_id: str, description: str, model: str = MODEL, alias: str = ALIAS
) -> Registered:
    """Point an alias of the experiment's registered model to the model that a run keeps.

    A model becomes a version once: if it is one already, the alias comes back to it.

    Args:
        experiment: name of the run's experiment.
        run_id: the run whose model it is.
        description: of a new version, Markdown.
        model: which of the run's models, by its name there.
        alias: to point to it.

    Raises:
        ValueError: the run keeps no such model, or the name is taken by another experiment.
        MlflowException: the registry does not take it.
    """
    client = MlflowClient()
    name = registry_name(experiment)
    source = f"models:/{_model_id(client, run_id, model)}"
    registered = _registered_model(client, name, experiment)
    version = _version_of(client, name, run_id, source)
    is_new = version is None
    if version is None:
        # It tells people on the error stream what its caller says better.
        with contextlib.redirect_stderr(io.StringIO()):
            version = mlflow.register_model(source, name)
        client.update_model_version(name, version.version, description)
    if int(registered.aliases.get(alias, 0)) != int(version.version):
        client.set_registered_model_alias(name, alias, version.version)
    return Registered(name, int(version.version), alias, is_new)


def _model_id(client: MlflowClient, run_id: str, model: str) -> str:
    """The latest, if the run was trained more than once."""
    latest_first = [{"field_name": "creation_timestamp", "ascending": False}]
    found = client.search_logged_models(
        [client.get_run(run_id).info.experiment_id],
        f"name = '{model}' and source_run_id = '{run_id}'",
        max_results=1,
        order_by=latest_first,
    )
    if not found:
        raise ValueError(f"run {run_id} keeps no {model}")
    return str(found[0].model_id)


def _registered_model(client: MlflowClient, name: str, experiment: str) -> RegisteredModel:
    try:
        registered = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        told = f"The greenest models of experiment {escaped(experiment)}."
        return client.create_registered_model(name, {EXPERIMENT: experiment}, told)
    owner = registered.tags.get(EXPERIMENT, experiment)
    if owner != experiment:
        raise ValueError(f"registered model {name} is that of experiment {owner} already")
    return registered


def _version_of(client: MlflowClient, name: str, run_id: str, source: str) -> ModelVersion | None:
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    return next((each for each in versions if (each.name, each.source) == (name, source)), None)
