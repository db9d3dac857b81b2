import pytest
from stub_project import make_clone, make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A small finished project; who changes it puts it back (``restored``) or takes a ``clone``."""
    folder = tmp_path_factory.mktemp("pipeline") / "project"
    folder.mkdir()
    return make_project(folder)


@pytest.fixture
def clone(project, tmp_path):
    """A fresh clone of it, with its data: nothing of what stages make is there."""
    return make_clone(project, tmp_path)
