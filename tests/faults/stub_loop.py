"""Stands in for a training: draws numbers, keeps its state after each epoch, leaves a folder and a table."""

import json
import random
import sys
import time
from pathlib import Path

from fer_repro.files import atomic_folder, atomic_write

EPOCHS = 20


def main(root):
    """Train, or continue where a killed process was."""
    state = root / "ckpt/state.json"
    try:
        numbers = json.loads(state.read_text())
    except FileNotFoundError:
        numbers = []
    while len(numbers) < EPOCHS:
        time.sleep(0.02)
        numbers.append(random.Random(f"{len(numbers)} {numbers[-1:]}").random())
        with atomic_write(state) as temporary:
            temporary.write_text(json.dumps(numbers))
    with atomic_folder(root / "runs/stub", force=True) as folder:
        for name in ("history.csv", "predictions.csv", "metrics.json"):
            time.sleep(0.01)
            (folder / name).write_text(name + "\n".join(map(str, numbers)) * 300)
    with atomic_write(root / "results/measured/rows.csv") as temporary:
        temporary.write_text("\n".join(map(str, numbers)) * 300)
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
