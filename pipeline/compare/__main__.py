"""``python -m pipeline.compare``."""

from pipeline import terminal
from pipeline.compare import compare

terminal.main(compare, "python -m pipeline.compare")
