"""Ten thousand frames take no more memory than a thousand."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from videos import write_video

PREDICT = """
import json, resource, sys
from fer_repro.inference.sources import list_inputs
from fer_repro.inference.journal import predict_to
from fer_repro.inference.loading import load
from fer_repro.inference.model import Looking
from pathlib import Path
run, video, out = sys.argv[1:]
looking = Looking(detector="2,2,30,30", batch_size=64)
rows = sum(len(chunk.rows) for chunk in predict_to([Path(out)], load(run), list_inputs(video), looking))
print(json.dumps({"rows": rows, "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def peak(run, video, out):
    command = [sys.executable, "-c", PREDICT, run, video, out]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adacos", "fan"])
def test_memory_is_flat(run_of, tmp_path, method):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 32, 32, 3), np.uint8)
    videos = {
        count: write_video(tmp_path / f"{count}.avi", (images[n % 100] for n in range(count)), "MJPG")
        for count in (1000, 10_000)
    }
    out = tmp_path / "found.csv"
    found = {count: peak(run_of(method), path, out) for count, path in videos.items()}
    assert {count: each["rows"] for count, each in found.items()} == {1000: 1000, 10_000: 10_000}
    assert found[10_000]["kilobytes"] < found[1000]["kilobytes"] + 20_000
    table = pd.read_csv(out)
    assert table["frame"].tolist() == list(range(10_000))
    if method == "fan":
        assert table["clip"].nunique() == -(-10_000 // 128)
