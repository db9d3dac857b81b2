"""The section ``pipeline`` or ``full`` of a params.yaml with one task at most."""

from fer_repro.params import TASKS


def pipeline_of(task="", methods=(), **datasets):
    """``pipeline_of("faces", ["rmn"], synthetic="data/synthetic/manifest.json")``."""
    section = {name: {"datasets": [], "methods": []} for name in TASKS}
    if task:
        section[task] = {"datasets": list(datasets), "methods": list(methods)}
    return {"datasets": datasets, **section}
