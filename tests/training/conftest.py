import pytest
import torch


@pytest.fixture(autouse=True)
def restored_determinism():
    """A run sets threads and determinism for the process; other tests shall not notice."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
