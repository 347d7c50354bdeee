"""Tags of runs that both a search and the record of runs know."""

GRAPH_SHARED = "compiled by an earlier run of the process"
"""Tag ``training.graph`` of a run that paid for no compilation."""

MACHINE = "search.machine"
"""Tag of a training of a search: the name of the machine that it ran on."""

ROLE = "search.role"
TRIAL, CONFIRMATION = "trial", "confirmation"
"""Tag of a training of a search: of a configuration that is tried, or of a leader once more."""

PARENT = "mlflow.parentRunId"
"""MLflow's tag of a run within another, such as a training within its search."""
