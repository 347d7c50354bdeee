"""Keeping CodeCarbon from printing."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def codecarbon_silent() -> Iterator[None]:
    """Nothing is logged by CodeCarbon within the block.

    Merely importing it sets its log level to INFO and may log, so a level set before is lost.
    """
    logger = logging.getLogger("codecarbon")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled
