"""Compare: which of the recorded configurations reached the target on the least energy."""

from pipeline.compare.command import compare

__all__ = ["compare"]
