"""Which files begin first, so that no worker is left with a long one when the others have ended."""

from pathlib import Path

HERE = Path(__file__).parent
LONG = (  # half a minute and more, the longest first
    "pipeline/test_ray_sweep.py", "docs/test_own_data.py", "inference/test_export.py",
    "pipeline/test_sweep.py", "pipeline/test_dvc.py", "notebooks/test_jupyterlab.py",
    "notebooks/test_smoke.py", "report/test_browser.py", "docs/test_site.py",
    "training/test_compile.py", "bad_input/test_odd_names.py", "notebooks/test_collected_sets.py",
    "pipeline/test_interrupt.py", "pipeline/test_preload.py", "faults/test_strikes.py",
    "datasets/test_face_windows.py", "inference/test_overwriting.py", "pipeline/test_full.py",
    "pipeline/test_arm.py", "inference/test_commands.py",
)  # fmt: skip
_PLACES = {HERE / name: place for place, name in enumerate(LONG)}


def pytest_configure(config):
    """Keep our order: ``--dist loadfile`` by itself begins with the files of many tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Sort the files; the order within each is kept."""
    items.sort(key=lambda item: _PLACES.get(item.path, len(LONG)))
