"""How much is tried: little by default, far more with ``TRUST=long``; and how much it was."""

import os
from collections import Counter

from hypothesis import HealthCheck, settings

LONG = os.environ.get("TRUST") == "long"

TALLY: Counter[str] = Counter()
"""What was done to the project, and what came of it."""

COUNTED = ("moments killed", "faults injected", "inputs tried", "lost", "doubled", "stuck")

tried = settings(
    deadline=None,
    max_examples=2000 if LONG else 50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""Of each property."""
