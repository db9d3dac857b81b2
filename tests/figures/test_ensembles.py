from pathlib import Path

import pandas as pd
import pytest

from fer_repro.figures.result_files import read_rows
from fer_repro.figures.result_tables import ensemble_gains, published_ensembles

NETWORKS = ("plain", "plain_siamese", "attention", "attention_siamese")


@pytest.fixture(scope="module")
def published():
    return read_rows(Path("results/published/results.csv"))


def table(published, dataset):
    return published_ensembles(published, "efficientnet", dataset, NETWORKS, "xception")


def test_the_papers_table_has_sixteen_rows_in_its_order(published):
    found = table(published, "ffpp_c23")
    assert len(found) == 16
    assert found["networks"].tolist()[:7] == [
        "xception",
        *NETWORKS,
        "plain+plain_siamese",
        "plain+attention",
    ]
    last = found.iloc[-1]
    assert last["networks"] == "+".join(NETWORKS)
    assert last[list(NETWORKS)].all()
    assert not last["xception"]
    assert last["frame_auc"] == pytest.approx(0.944356)
    assert last["video_log_loss"] == pytest.approx(0.235165)


def test_gains_of_the_authors_outputs(published):
    found = ensemble_gains(
        {"FF++": table(published, "ffpp_c23"), "DFDC": table(published, "dfdc")}, NETWORKS, "xception"
    ).set_index(["data", "level"])
    assert found.loc[("FF++", "frame"), "over single"] == pytest.approx(94.4356 - 93.8183)
    assert found.loc[("DFDC", "video"), "over single"] == pytest.approx(94.7305 - 94.7308)
    assert found.loc[("DFDC", "video"), "over baseline"] == pytest.approx(94.7305 - 94.9682)
    assert found.loc[("FF++", "video"), "single"] == "plain_siamese"


def test_what_was_not_published_or_trained_is_left_out(published):
    assert published_ensembles(published, "efficientnet", "nowhere", NETWORKS, "xception").empty
    part = pd.DataFrame({"networks": ["xception", "plain"], "frame_auc": 0.5, "video_auc": 0.5})
    assert ensemble_gains({"here": part}, NETWORKS, "xception").empty
