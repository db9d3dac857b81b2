import numpy as np
import pytest
from evaluated_project import sample_table
from sklearn import metrics as sk

from fer_repro.evaluation.ensembles import ensemble_runs, papers_ensembles
from fer_repro.evaluation.forgery_rows import TABLE, ensemble_table, forgery_rows
from fer_repro.evaluation.row_form import COLUMNS, INTERVAL_COLUMNS, Subject
from fer_repro.runs.folder import Run
from fer_repro.runs.predictions import Predictions

CLASSES = ("real", "manipulated")
ARMS = ("xception", "attention", "plain", "plain_siamese", "attention_siamese")
PAPERS = ("plain", "plain_siamese", "attention", "attention_siamese")
SEEDS = (0, 1)
SUBJECT = Subject("efficientnet", "2004.07676", "synthetic_forgeries", "none", "a small note")
VIDEOS, FRAMES = 30, 4


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


@pytest.fixture(scope="module")
def samples():
    """Ten training frames, seven of them manipulated; then test videos, a third real, of two kinds."""
    videos = np.repeat(np.arange(VIDEOS), FRAMES)
    kinds = np.array(["none", "swap", "transfer"])[videos % 3]
    labels = np.concatenate([[1] * 7 + [0] * 3, kinds != "none"]).astype(int)
    clips = ["t"] * 7 + ["r"] * 3 + [f"v{video}" for video in videos]
    table = sample_table(labels, ["train"] * 10 + ["test"] * len(videos))
    return table.assign(clip=clips, forgery=["swap"] * 7 + ["none"] * 3 + kinds.tolist())


@pytest.fixture(scope="module")
def runs(samples):
    rng = np.random.default_rng(0)
    ids = np.flatnonzero(samples["split"] == "test")
    targets = samples["label"].to_numpy()[ids]
    found = []
    for arm in ARMS:
        for seed in SEEDS:
            z = rng.normal(2.0 * targets - 1, 2.0)
            logits = np.stack([np.zeros(len(z)), z], 1)
            predictions = Predictions(CLASSES, ids, np.full(len(ids), "test"), targets, logits, logits)
            found.append(Run(arm, seed, {"recipe": {"tta_copies": 0}}, predictions))
    combined = papers_ensembles("efficientnet", ARMS)
    return found + [run for names in combined for run in ensemble_runs(found, names, "logits")]


@pytest.fixture(scope="module")
def rows(runs, samples):
    return forgery_rows(runs, samples, SUBJECT, "xception", 0.95, 100)


def naive(runs, samples, names, seed):
    """The table's four numbers of an ensemble, from the definition with scikit-learn."""
    members = [run for run in runs if run.arm in names and run.seed == seed]
    z = sum(run.predictions.logits[:, 1] for run in members) / len(members)
    tested = samples.iloc[members[0].predictions.samples].assign(z=z)
    videos = tested.groupby("clip").agg(z=("z", "mean"), label=("label", "first"))
    return {
        "frame_auc": sk.roc_auc_score(tested["label"], z),
        "frame_log_loss": sk.log_loss(tested["label"], sigmoid(z)),
        "video_auc": sk.roc_auc_score(videos["label"], videos["z"]),
        "video_log_loss": sk.log_loss(videos["label"], sigmoid(videos["z"])),
    }


@pytest.mark.parametrize("names", [("plain",), ("plain", "attention"), ARMS[1:]])
def test_rows_are_the_definition(rows, runs, samples, names):
    names = sorted(names, key=["plain", "plain_siamese", "attention", "attention_siamese"].index)
    table = rows[0]
    mine = table[table["arm"] == "+".join(names)].set_index(["metric", "seed"])["value"]
    for seed in SEEDS:
        for metric, value in naive(runs, samples, names, seed).items():
            factor = 1 if "log_loss" in metric else 100
            assert mine[(metric, str(seed))] == pytest.approx(factor * value)


def test_units_are_those_of_the_published_rows(rows):
    table = rows[0][~rows[0]["arm"].str.contains(" - ")]
    assert list(table) == list(COLUMNS)
    units = table.groupby("metric")["unit"].unique().map(list).to_dict()
    assert units["frame_log_loss"] == units["video_log_loss"] == ["nats"]
    assert units["frame_auc"] == units["video_auc_swap"] == ["%"]
    assert {"frame_auc_swap", "frame_auc_transfer", "video_auc_transfer"} <= set(units)


def test_the_base_rate_is_the_training_splits(rows, samples):
    base = rows[0][rows[0]["arm"] == "base_rate"].set_index("metric")["value"]
    notes = rows[0][rows[0]["arm"] == "base_rate"]["note"]
    assert set(notes) == {"every frame gets the training split's share of manipulated frames"}
    assert set(rows[0]["protocol"]) == set(rows[1]["protocol"]) == {"official"}
    test = samples[samples["split"] == "test"]["label"].to_numpy()
    assert base["frame_auc"] == base["video_auc"] == 50
    assert base["frame_log_loss"] == pytest.approx(sk.log_loss(test, np.full(len(test), 0.7)))


def test_differences_to_the_control(rows, runs, samples):
    table, intervals = rows
    all_four = "plain+plain_siamese+attention+attention_siamese"
    row = table[(table["arm"] == f"{all_four} - xception") & (table["metric"] == "video_auc")].iloc[0]
    gaps = [
        naive(runs, samples, ARMS[1:], seed)["video_auc"]
        - naive(runs, samples, ["xception"], seed)["video_auc"]
        for seed in SEEDS
    ]
    assert row["value"] == pytest.approx(100 * np.mean(gaps))
    assert row["unit"] == "points"
    assert "DeLong p by seed" in row["note"]
    losses = table[(table["arm"] == f"{all_four} - xception") & (table["metric"] == "frame_log_loss")]
    assert abs(losses.iloc[0]["value"]) < 5  # not percent
    assert losses.iloc[0]["unit"] == "nats"
    assert len(intervals[intervals["metric"] == "frame_auc"]) == 2 * 16 + 15


def test_frames_of_one_kind_leave_the_areas_empty(runs, samples):
    few = [
        Run(run.arm, run.seed, run.config, run.predictions.where(run.predictions.targets == 1))
        for run in runs[:2]
    ]
    table = ensemble_table(few, samples, "xception", PAPERS)
    assert np.isnan(table["frame_auc"].iloc[0])
    assert table["frame_log_loss"].iloc[0] > 0
    assert table["runs"].tolist() == [2]


def test_one_run_has_rows_too(runs, samples):
    table, intervals = forgery_rows(runs[:1], samples, SUBJECT, "xception", 0.95, 100)
    assert list(table) == list(COLUMNS)
    assert list(intervals) == list(INTERVAL_COLUMNS)
    assert set(intervals["metric"]) == set(table["metric"])
    assert set(table["arm"]) == {"xception", "base_rate"}
    assert set(table["unit"]) == {"%", "nats"}
    assert set(table["protocol"]) == {"official"}
    laid = ensemble_table(runs[:1], samples, "xception", PAPERS)
    assert laid["networks"].tolist() == ["xception"]
    assert laid[[f"{name}_deviation" for name in TABLE]].isna().all(axis=None)
    assert laid["frame_auc"].item() == pytest.approx(naive(runs, samples, ["xception"], 0)["frame_auc"])


@pytest.mark.parametrize("label", [0, 1])
def test_a_training_split_of_one_kind_leaves_the_base_rate_finite(runs, samples, label):
    one = samples.assign(label=samples["label"].where(samples["split"] != "train", label))
    table, _ = forgery_rows(runs[:1], one, SUBJECT, "xception", 0.95, 100)
    found = table[(table["arm"] == "base_rate") & (table["metric"] == "frame_log_loss")]["value"].item()
    truth = samples[samples["split"] == "test"]["label"].to_numpy()
    assert found == pytest.approx(np.mean(truth != label) * -np.log(1e-9), rel=1e-4)


def test_the_table_has_the_papers_layout(runs, samples):
    table = ensemble_table(runs, samples, "xception", PAPERS)
    assert table["networks"].tolist() == [
        "xception", "plain", "plain_siamese", "attention", "attention_siamese",
        "plain+plain_siamese", "plain+attention", "plain+attention_siamese",
        "plain_siamese+attention", "plain_siamese+attention_siamese", "attention+attention_siamese",
        "plain+plain_siamese+attention", "plain+plain_siamese+attention_siamese",
        "plain+attention+attention_siamese", "plain_siamese+attention+attention_siamese",
        "plain+plain_siamese+attention+attention_siamese",
    ]  # fmt: skip
    for names in (("plain",), ("plain_siamese", "attention")):
        row = table[table["networks"] == "+".join(names)].iloc[0]
        seeds = [naive(runs, samples, names, seed) for seed in SEEDS]
        for metric in TABLE:
            values = [numbers[metric] for numbers in seeds]
            assert row[metric] == pytest.approx(np.mean(values))
            assert row[f"{metric}_deviation"] == pytest.approx(np.std(values, ddof=1))
    assert (table["runs"] == 2).all()
    numbers = [name for metric in TABLE for name in (metric, f"{metric}_deviation")]
    assert list(table) == ["networks", "xception", *PAPERS, *numbers, "runs"]
    for _, row in table.iterrows():
        assert [name for name in ("xception", *PAPERS) if row[name]] == row["networks"].split("+")


@pytest.fixture(scope="module")
def unseen(samples, runs):
    """Rows of arms that left out swap, one that left out transfer, and one that left out nothing."""
    arms = ("softmax", "arcface", "arcface_unseen_transfer", "softmax_all_kinds")
    config = {"recipe": {"tta_copies": 0, "model": {"unseen": "swap"}}}
    renamed = dict(zip(ARMS, arms, strict=False))
    found = [Run(renamed[run.arm], run.seed, config, run.predictions) for run in runs if run.arm in renamed]
    subject = Subject("face_losses", "", "synthetic_forgeries", "none", "a small note")
    learnt = samples.assign(forgery=["swap"] * 3 + ["transfer"] * 4 + samples["forgery"].tolist()[7:])
    return forgery_rows(found, learnt, subject, "softmax", 0.95, 100), found, learnt


@pytest.mark.parametrize(
    ("arm", "kind"), [("softmax", "swap"), ("arcface", "swap"), ("arcface_unseen_transfer", "transfer")]
)
def test_what_an_arm_left_out_is_measured_alone(unseen, arm, kind):
    (table, _), runs, samples = unseen
    mine = table[(table["arm"] == arm) & (table["protocol"] == "unseen")].set_index(["metric", "seed"])
    kept = (samples["split"] == "test") & samples["forgery"].isin(["none", kind])
    for run in runs:
        if run.arm == arm:
            z = run.predictions.logits[:, 1]
            tested = samples.iloc[run.predictions.samples].assign(z=z)[kept[run.predictions.samples]]
            videos = tested.groupby("clip").agg(z=("z", "mean"), label=("label", "first"))
            wanted = {
                "frame_auc": 100 * sk.roc_auc_score(tested["label"], tested["z"]),
                "video_auc": 100 * sk.roc_auc_score(videos["label"], videos["z"]),
                "frame_log_loss": sk.log_loss(tested["label"], sigmoid(tested["z"])),
                "video_log_loss": sk.log_loss(videos["label"], sigmoid(videos["z"])),
            }
            for metric, value in wanted.items():
                assert mine["value"][(metric, str(run.seed))] == pytest.approx(value)
    assert set(mine.reset_index()["metric"]) == {*TABLE, "video_accuracy"}


def test_the_base_rate_is_that_of_what_was_learnt(unseen):
    (table, intervals), _, samples = unseen
    base = table[table["arm"] == "base_rate_unseen_swap"].set_index("metric")["value"]
    truth = samples.query("split == 'test' and forgery in ('none', 'swap')")["label"]
    assert base["frame_log_loss"] == pytest.approx(sk.log_loss(truth, np.full(len(truth), 4 / 7)))
    here = table[table["protocol"] == "unseen"]["arm"]
    assert not here.str.contains("all_kinds").any()
    assert {"arcface - softmax"} == set(here[here.str.contains(" - ")]), "both left out the same kind"
    both = intervals[(intervals["arm"] == "arcface - softmax") & (intervals["metric"] == "video_auc")]
    assert sorted(both["protocol"]) == ["official", "unseen"]
