"""Tags of runs that both a search and the record of runs know."""

GRAPH_SHARED = "compiled by an earlier run of the process"
"""Tag ``training.graph`` of a run that paid for no compilation."""

MACHINE = "search.machine"
"""Tag of a training of a search: the name of the machine that it ran on."""
