import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def seed():
    """Of all moments and draws; FER_REPRO_STRIKES repeats those of a run that failed."""
    return os.environ.get("FER_REPRO_STRIKES") or str(time.time_ns() % 1_000_000)
