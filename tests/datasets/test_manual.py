"""What a user reads about adding data sets names every one of them."""

import pytest

from fer_repro.cli import data_add
from fer_repro.params import dataset_names


@pytest.mark.parametrize("name", dataset_names())
def test_an_adapter_is_in_the_help_and_in_the_manual(name, request):
    manual = (request.config.rootpath / "docs" / "data.md").read_text()
    assert f"| `{name}` |" in manual
    assert any(line.split()[:1] == [name] for line in data_add.__doc__.splitlines())
