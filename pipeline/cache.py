"""What is kept between commands, in the folder that they are typed in."""

from pathlib import Path

CACHE = Path(".cache")
IDLE_FILE = CACHE / "idle.json"
JOURNALS = CACHE / "journal"
JOURNALS_LOCK = CACHE / "journal.lock"
"""Held by whoever takes up what another process left there."""
POWER_LIMIT_FILE = CACHE / "power_limit.json"
STEPS = CACHE / "steps"
