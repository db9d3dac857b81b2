"""Every published number says what it is, where it stands and which paper it is from."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.protocols import PROTOCOLS
from fer_repro.figures.tables import in_percent
from fer_repro.files import read_yaml
from fer_repro.measures.metrics import find_metric
from fer_repro.methods.method import load_method, method_names

FOLDER = Path(__file__).parent.parent.parent / "results/published"
COLUMNS = [
    "method", "arm", "paper", "table", "dataset", "protocol", "split", "metric", "unit", "value",
    "pretraining", "tta", "source", "note",
]  # fmt: skip
KEY = ["method", "arm", "table", "dataset", "protocol", "split", "metric"]
SPLITS = {
    "fer2013": {"test"}, "vemo": {"test"}, "imagenet": {"val"},
    "ckplus": {"test"}, "afew": {"val"},
    "ferplus": {"test"}, "affectnet": {"val"}, "rafdb": {"test"}, "sfew": {"val"}, "fedro": {"test"},
    **{key: {"test"} for key in ("lfw", "cplfw", "calfw", "agedb", "megaface", "megaface_refined", "ijbc")},
    **{key: {"test"} for key in ("omniglot", "sixteen_faces", "dfdc", "dfdcp", "dfd")},
    **{key: {"test"} for key in ("celebdf_v1", "celebdf_v2", "deeperforensics", "faceshifter")},
    **{key: {"test"} for key in ("uadfv", "ffiw", "ffpp_c23", "ffpp_c40")},
    "emotiw_engagement": {"val", "test"},
}  # fmt: skip
ELSEWHERE = {  # protocols of other data sets than FER2013
    "ten_fold", "occlusion", "pose_30", "pose_45",
    "distractors_1e6", "templates", "authors_split", "deepfakebench", "cross_dataset",
}  # fmt: skip
UNREAD = {  # arms in tables that could not be read
    ("p2sgrad", "softmax"), ("distillation", "fine_tuned"), ("engagement", "rank_loss"),
    ("engagement", "mse"), ("benford", "published_order"), ("benford", "nonzero"),
    ("pixel_synthesis", "window_3"), ("pixel_synthesis", "mean_difference"),
    ("blinding", "null_space"), ("blinding", "random_subspace"),
    ("inside_bias", "dark_16"), ("inside_bias", "balanced"),
}  # fmt: skip
CLOSED = {"face_losses", "maxout", "cascade"}  # no open copy of the paper: numbers of its abstract at most
LITERATURE = {
    "human", "dl_svm", "cnn_sift", "cnns_bovw_svm", "cnn_ensemble_8",
    "st_network", "dtagn", "cnn_island_loss", "lomo",
    "cnn_rnn", "vggface_lstm", "holonet", "dsn_holonet", "densenet161", "dsn_vggface",
    "vgg13", "resnet18_vgg16", "senet50", "alexnet_upsampled", "alexnet_weighted_loss", "resnet80",
    "dlp_cnn", "gacnn", "island_loss", "identity_aware_cnn", "deep_cnns",
    "arcface", "cosface", "mv_softmax", "curricularface", "adaptiveface", "crystal_loss",
    "deepfakebench", "self_blended_images",
}  # fmt: skip
PLACE = ["method", "arm", "dataset", "protocol"]
EIGHT = {
    "ferplus": ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"],
    "affectnet": ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"],
}
LISTS = {  # images per class of RAN's lists, in that order
    ("ferplus", "occlusion"): (160, 122, 133, 125, 23, 3, 36, 3),
    ("ferplus", "pose_45"): (271, 141, 60, 89, 51, 1, 16, 4),
    ("affectnet", "occlusion"): (102, 61, 56, 107, 100, 76, 90, 91),
    ("affectnet", "pose_45"): (108, 106, 145, 132, 135, 137, 126, 96),
}
CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def read(name):
    return pd.read_csv(FOLDER / name, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def results():
    return read("results.csv")


def test_the_columns_are_the_agreed_ones(results):
    assert list(results.columns) == COLUMNS


def test_every_cell_is_of_a_known_kind(results):
    assert set(results["method"]) <= set(method_names()) | LITERATURE
    assert set(results["dataset"]) <= set(SPLITS)
    assert set(results["protocol"]) <= set(PROTOCOLS) | ELSEWHERE
    assert set(results["unit"]) == {"%", "nats", "MSE"}
    assert (results["metric"].map(lambda name: find_metric(name).unit) == results["unit"]).all()
    assert all(row.split in SPLITS[row.dataset] for row in results.itertuples())
    assert results["arm"].str.fullmatch(r"[a-z0-9_]+(\+[a-z0-9_]+)*").all()
    for column in ("table", "source", "pretraining"):
        assert (results[column] != "").all(), column
    assert not results.map(lambda cell: cell != cell.strip() or "\n" in cell).to_numpy().any()


def test_every_value_is_a_percentage(results):
    values = pd.to_numeric(results["value"])
    assert values.between(0, 100).all()
    assert (values[results["unit"] == "%"] > 1).all(), "a fraction among percentages"
    in_percent(results.assign(value=values))


def test_no_number_stands_twice(results):
    assert not results[results.duplicated(KEY, keep=False)].to_dict("records")


def test_every_method_publishes_its_headline_and_control(results):
    papers = read_yaml(FOLDER / "papers.yaml")
    for name in method_names():
        method = load_method(name)
        rows = results[results["method"] == name]
        assert papers[name]["title"] == method.title
        assert papers[name]["arxiv"] == method.paper
        if name in CLOSED:
            assert set(rows["table"]) <= {"abstract"}
            assert method.title.startswith("Inspired by")
            continue
        for arm in (method.headline, method.control):
            assert arm in set(rows["arm"]) or (name, arm) in UNREAD
        assert set(rows["paper"]) <= {method.paper}


def test_papers_are_complete():
    for name, paper in read_yaml(FOLDER / "papers.yaml").items():
        assert set(paper) == {
            "name", "title", "authors", "year", "venue", "arxiv", "repository", "commit", "licence"
        }, name  # fmt: skip
        assert isinstance(paper["authors"], list)
        assert isinstance(paper["arxiv"], str)
        assert set(paper["licence"]) == {"code", "weights"}


def number(results, arm, dataset="fer2013", metric="accuracy"):
    rows = results[(results["method"] == "rmn") & (results["arm"] == arm)]
    return float(rows[(rows["dataset"] == dataset) & (rows["metric"] == metric)].iloc[0]["value"])


def test_the_gains_of_rmn_over_its_backbone(results):
    gains = {
        dataset: round(number(results, "masked", dataset) - number(results, "no_mask", dataset), 2)
        for dataset in ("fer2013", "vemo", "imagenet")
    }
    assert gains == {"fer2013": 1.72, "vemo": 1.10, "imagenet": 1.57}
    assert round(74.14 / 100 * 3589) == 2661
    assert number(results, "ensemble_7") == 76.82


def test_confusion_matrices_are_whole_or_diagonals():
    """Missing cells are unknown, not 0: a row that sums to less than 1 would be read as one of zeros."""
    table = read("confusions.csv").astype({"value": float})
    assert not table.duplicated([*PLACE, "target", "predicted"]).any()
    assert table["value"].between(0, 1).all()
    for place, cells in table.groupby(PLACE):
        classes = EIGHT.get(place[2], CLASSES)
        matrix = cells.pivot_table(index="target", columns="predicted", values="value")
        matrix = matrix.loc[classes, classes]
        assert matrix.shape == (len(classes), len(classes))
        if place[0] == "ran":
            assert (matrix.notna().to_numpy() == np.eye(len(classes), dtype=bool)).all(), place
        else:  # seven cells, each rounded
            assert matrix.sum(axis=1, skipna=False).between(0.965, 1.035).all(), place


def test_diagonals_of_ran_agree_with_its_accuracies(results):
    """Weighted with the images per class of each list, as the rows of its matrices are."""
    cells = read("confusions.csv").query("method == 'ran'").astype({"value": float})
    known = results[results["table"] == "README matrices"].set_index(["arm", "dataset", "protocol"])["value"]
    assert len(known) == 8
    for place, rows in cells.groupby(["arm", "dataset", "protocol"]):
        counts = np.array(LISTS[place[1:]])
        assert 100 * (rows["value"] * counts).sum() / counts.sum() == pytest.approx(
            float(known[place]), abs=0.1
        )


def test_the_printed_matrix_agrees_with_the_printed_accuracy():
    """Weighted with the images per class of PrivateTest, within rounding."""
    table = read("confusions.csv")
    rows = table[
        (table["arm"] == "masked") & (table["dataset"] == "fer2013") & (table["target"] == table["predicted"])
    ]
    recalls = rows.set_index("target")["value"].astype(float)
    counts = pd.Series(dict(zip(CLASSES, (491, 55, 528, 879, 594, 416, 626), strict=True)))
    assert 100 * (recalls * counts).sum() / counts.sum() == pytest.approx(74.14, abs=0.5)


def test_the_numbers_of_fan_are_whole_sequences_and_videos(results):
    """327 sequences of CK+; 381 videos of AFEW, although the paper says 383."""
    rows = results[results["method"] == "fan"]
    for dataset, count in (("ckplus", 327), ("afew", 381)):
        for value in rows.loc[rows["dataset"] == dataset, "value"].astype(float):
            correct = round(value * count / 100)
            assert abs(100 * correct / count - value) < 0.011, (dataset, value)  # one is cut, not rounded


def test_the_numbers_of_ran_are_whole_images(results):
    rows = results[(results["method"] == "ran") & (results["arm"] == "softmax_weights")]
    sizes = {"README FERPlus": (3137, 2778), "README RAF-DB": (3068, 2666)}
    for table, (count, correct) in sizes.items():
        (value,) = rows.loc[rows["table"] == table, "value"]
        assert abs(100 * correct / count - float(value)) < 0.01  # cut, not rounded


def test_the_readings_of_the_ensembles_table(results):
    """The fact sheet's: which of the sixteen rows is best in which column."""
    rows = results[results["method"] == "efficientnet"].assign(
        value=lambda table: table["value"].astype(float)
    )
    assert len(rows) == 16 * 8
    best = {}
    for (dataset, metric), column in rows.groupby(["dataset", "metric"]):
        values = column.set_index("arm")["value"]
        best[dataset, metric] = values.idxmin() if metric.endswith("log_loss") else values.idxmax()
    three = "plain+plain_siamese+attention_siamese"
    assert best["ffpp_c23", "frame_auc"] == "plain+plain_siamese+attention+attention_siamese"
    assert best["ffpp_c23", "frame_log_loss"] == best["ffpp_c23", "video_auc"] == three
    assert best["dfdc", "frame_auc"] == best["dfdc", "frame_log_loss"] == "plain+plain_siamese+attention"
    assert best["dfdc", "video_auc"] == best["dfdc", "video_log_loss"] == "xception"


def test_what_users_retrained_is_no_arm(results):
    """Neither tables nor claims take it for the paper's own number: it has names of its own."""
    rows = results[results["table"].str.endswith("retrained by users")]
    assert len(rows) == 6
    assert (
        rows["source"] == "phamquiluan/ResidualMaskingNetwork#" + rows["table"].str.extract(r"(\d+)")[0]
    ).all()
    assert rows["note"].str.startswith("not the authors'").all()
    assert not set(rows["arm"]) & {*load_method("rmn").arms, "ensemble_7"}
    assert rows["value"].astype(float).max() < number(results, "masked"), "nobody reports to have reached it"


def test_rows_of_facex_zoo_name_their_checkpoint(results):
    rows = results[results["table"] == "README FaceX-Zoo"]
    last = rows["metric"] == "rank1"
    assert (rows["note"].str.contains("the last checkpoint") == last).all()
    assert (rows["note"].str.contains("the best checkpoint of each test set") == ~last).all()
    assert (rows["note"].str.startswith("AM-Softmax") == (rows["arm"] == "cosface")).all()


def test_refined_and_original_megaface_stay_apart(results):
    ranks = results[results["metric"] == "rank1"]
    assert set(ranks["dataset"]) == {"megaface", "megaface_refined"}
    (published,) = ranks.loc[ranks["arm"].eq("dynamic") & ranks["dataset"].eq("megaface_refined"), "value"]
    assert published == "97.41"


def test_five_engagement_runs_admit_67_videos_and_the_constant(results):
    """Weighted with 9, 19, 36 and 3 videos the errors of the levels give each run's own error."""
    rows = results[results["table"] == "five runs"].assign(value=lambda part: part["value"].astype(float))
    counts = {"mse_0": 9, "mse_0_33": 19, "mse_0_66": 36, "mse_1": 3}
    assert rows["arm"].nunique() == 5
    for _, run in rows.groupby("arm"):
        errors = run.set_index("metric")["value"]
        total = sum(count * errors[name] for name, count in counts.items())
        assert total / 67 == pytest.approx(errors["mse"], abs=1.5e-6)
    levels = [0.0] * 9 + [0.33] * 19 + [0.66] * 36 + [1.0] * 3
    mean = sum(levels) / 67
    constant = sum((level - mean) ** 2 for level in levels) / 67
    assert (round(mean, 3), round(constant, 6)) == (0.493, 0.066678)
    best = rows[rows["metric"] == "mse"]["value"].min()
    assert 1 - best / constant == pytest.approx(0.061, abs=1e-3)
    assert not results["value"].astype(float).eq(0.066678).any()  # derived, so it is in notes alone
