import pytest
from finished_project import make_project, published_rows, result_rows


@pytest.fixture
def measured():
    return result_rows()


@pytest.fixture
def published():
    return published_rows()


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)
