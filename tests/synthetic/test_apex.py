import json
from pathlib import Path

import numpy as np
import pytest

from fer_repro.errors import UserError
from fer_repro.synthetic import challenge as apex
from fer_repro.synthetic import clips

MANIFEST = Path(__file__).parents[2] / "data/synthetic_clips/manifest.json"


@pytest.fixture(scope="module")
def settings():
    return json.loads(MANIFEST.read_text()) | {"people": {"train": 3, "val": 1, "test": 2}}


def test_each_clip_gives_its_strongest_frame_as_drawn_there(settings):
    whole = clips.draw(settings)
    stills = apex.draw(settings | {"name": "synthetic_apex", "kind": "apex"})
    assert len(stills.images) == whole.samples["clip"].nunique()
    for image, row in zip(stills.images, stills.samples.itertuples(), strict=True):
        frames = whole.samples[whole.samples["clip"] == row.of_clip]
        assert row.intensity == frames["intensity"].max()
        strongest = frames.index[frames["intensity"].to_numpy().argmax()]
        assert np.array_equal(image, whole.images[strongest])
        assert (row.label, row.subject, row.split) == tuple(frames.iloc[0][["label", "subject", "split"]])


def test_wrong_settings_are_named(settings):
    with pytest.raises(UserError, match="frame"):
        apex.draw(settings | {"name": "synthetic_apex", "kind": "apex", "max_frame": 3})
