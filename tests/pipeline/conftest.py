import shutil

import pytest
from stub_project import Project, make_clone, make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A small finished project; who changes it puts it back (``restored``) or takes a ``clone``."""
    folder = tmp_path_factory.mktemp("pipeline") / "project"
    folder.mkdir()
    return make_project(folder)


@pytest.fixture(scope="session")
def pristine(project, tmp_path_factory):
    """A fresh clone of it, with its data, that nobody changes."""
    return make_clone(project, tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def clone(pristine, tmp_path):
    """A copy of that: nothing of what stages make is there."""
    return Project(shutil.copytree(pristine.folder, tmp_path / "clone", symlinks=True))
