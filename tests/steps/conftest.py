import pytest

from steps.configuration import Configuration
from steps.errors import InputError
from steps.preprocess import preprocess


@pytest.fixture
def refusal():
    """What preprocess says of a dataset that it refuses; one line, whatever is wrong."""

    def refusal(dataset: str, **hyperparameters: str) -> str:
        with pytest.raises(InputError) as caught:
            preprocess(Configuration(dataset=dataset, **hyperparameters))
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        return message

    return refusal


@pytest.fixture
def read():
    """The dataset of some hyperparameters."""
    return lambda dataset, **more: preprocess(Configuration(dataset=dataset, **more))
