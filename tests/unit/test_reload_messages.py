"""Settings come to a worker as they were read, secrets included, and by no other way."""

import pickle
from pathlib import Path

import pytest

from domain.secret import Secret
from entrypoints.config.load import load_settings
from entrypoints.reload.messages import decoded, encoded
from tests.unit.config_examples import EXAMPLES, environment_of


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_comes_as_it_was_read(example: Path) -> None:
    settings = load_settings(example, environment_of(example))

    assert decoded(encoded(settings)) == settings


def test_secrets_can_still_not_be_pickled_by_accident() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("sk-canary"))
