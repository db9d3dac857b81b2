import json

import numpy as np
import pandas as pd
import pytest
from evaluated_project import sample_table, write_classes, write_data, write_pairs, write_run

from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError
from fer_repro.evaluation.ensembles import ensemble_runs
from fer_repro.methods.method import load_method
from fer_repro.runs.folder import by_arm, read_pair_runs, read_runs, run_task, unseen_kind

SAMPLES = sample_table([0, 1] * 4, ["train"] * 2 + ["val"] * 2 + ["test"] * 4)
PAIRS = pd.DataFrame(
    {"list": "test", "first": [0, 1], "second": [2, 3], "same": [1, 0], "fold": 0, "score": [0.5, 0.1]}
)


def read(folder, arms=("masked", "no_mask"), seeds=(0, 1)):
    return read_runs(folder / "runs", "small", "rmn", seeds, arms)


@pytest.fixture
def folder(tmp_path):
    for arm in ("masked", "no_mask"):
        for seed in (0, 1):
            place = write_run(tmp_path, "rmn", arm, seed, {"width": 4})
            write_classes(place, ("a", "b"), SAMPLES, np.eye(2)[[0, 1] * 3])
            write_pairs(place, PAIRS)
    return tmp_path


def test_runs_come_arm_by_arm(folder):
    runs = read(folder)
    assert [(run.arm, run.seed) for run in runs] == [
        ("masked", 0), ("masked", 1), ("no_mask", 0), ("no_mask", 1),
    ]  # fmt: skip
    assert [run.seed for run in by_arm(runs)["no_mask"]] == [0, 1]
    assert len(read_pair_runs(folder / "runs", "small", "rmn", iter((0, 1)), ("masked", "no_mask"))) == 4


def test_runs_of_another_recipe_are_refused(folder):
    place = folder / "runs" / "small" / "rmn" / "1" / "no_mask"
    config = json.loads((place / "config.json").read_text())
    config["recipe"]["model"]["width"] = 8
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"no_mask/config.json: another recipe than masked, seed 0"):
        read(folder)
    with pytest.raises(UserError, match=r"no_mask/config.json: another recipe than masked, seed 0"):
        read_pair_runs(folder / "runs", "small", "rmn", (0, 1), ("masked", "no_mask"))
    (place / "config.json").write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        read(folder)
    (place / "config.json").unlink()
    with pytest.raises(UserError, match=r"config.json: no such file; expected the configuration"):
        read(folder)


def test_runs_of_before_there_were_heads_have_none(folder):
    """A record grows over versions: its first runs lack the key that its last ones have."""
    place = folder / "runs" / "small" / "rmn" / "1" / "no_mask" / "config.json"
    config = json.loads(place.read_text())
    assert "head" not in config["recipe"]
    for head in ("none", "pgm"):
        config["recipe"]["head"] = head
        place.write_text(json.dumps(config))
        if head == "none":
            assert len(read(folder)) == 4
    with pytest.raises(UserError, match="another recipe than masked"):
        read(folder)


def test_runs_on_other_data_are_refused(folder, capsys):
    """Data sets are joined to runs by name; what a run was trained on stands in its configuration."""
    write_data(folder, SAMPLES, ("a", "b"))
    store = open_store(folder / "prepared" / "small")
    places = [
        folder / "runs" / "small" / "rmn" / str(seed) / arm
        for arm in ("masked", "no_mask")
        for seed in (0, 1)
    ]

    def keep(place, digests):
        config = json.loads((place / "config.json").read_text()) | {"data_sha256": digests}
        (place / "config.json").write_text(json.dumps(config))

    def compare(reader=read_runs):
        return reader(folder / "runs", "small", "rmn", (0, 1), ("masked", "no_mask"), store)

    assert len(compare()) == 4  # of an older version: nobody knows, and one line says so
    assert capsys.readouterr().err.count("keeps no digest of its data") == 1
    for place in places:
        keep(place, store.digests)
    assert len(compare()) == 4
    assert capsys.readouterr().err == ""
    for reader in (read_runs, read_pair_runs):
        keep(places[1], store.digests | {"images": "0" * 64})
        with pytest.raises(
            UserError, match=r"1/masked: was trained on other data than masked, seed 0: other images"
        ):
            compare(reader)
        keep(places[1], store.digests)
        keep(places[0], store.digests | {"pairs.csv": "0" * 64})
        with pytest.raises(
            UserError, match=r"0/masked: was trained on other data than .*small holds now: other pairs"
        ):
            compare(reader)
        keep(places[0], store.digests)


def test_predictions_of_other_samples_than_the_stores_are_refused(folder):
    """Also where a run keeps no digest: its targets are the labels of the rows that it names."""
    labels = SAMPLES["label"].to_numpy(copy=True)
    labels[5] = 1 - labels[5]
    write_data(folder, SAMPLES.assign(label=labels), ("a", "b"))
    store = open_store(folder / "prepared" / "small")
    with pytest.raises(UserError, match=r"masked/predictions.csv: row 4: sample 5, target 1: not those of"):
        read_runs(folder / "runs", "small", "rmn", (0,), ("masked",), store)


def test_limits_of_the_data_belong_to_equal_terms(folder):
    place = folder / "runs" / "small" / "rmn" / "1" / "no_mask"
    config = json.loads((place / "config.json").read_text())
    config["data"]["max_train"] = 100
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"no_mask/config.json: other limits of the data than masked, seed 0"):
        read(folder)


def test_runs_of_other_samples_are_refused(folder):
    place = folder / "runs" / "small" / "rmn" / "1" / "no_mask"
    lines = (place / "predictions.csv").read_text().splitlines()
    (place / "predictions.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UserError, match=r"other samples, targets or classes than masked, seed 0"):
        read(folder)
    (place / "predictions.csv").unlink()
    with pytest.raises(UserError, match="no such file"):
        read(folder)


def test_runs_of_other_pairs_are_refused(folder):
    place = folder / "runs" / "small" / "rmn" / "1" / "no_mask"
    (place / "pairs.csv").unlink()
    write_pairs(place, PAIRS.assign(score=0.9))
    read_pair_runs(folder / "runs", "small", "rmn", (0, 1), ("masked", "no_mask"))
    write_pairs(place, PAIRS.assign(first=[0, 4]))
    with pytest.raises(UserError, match=r"no_mask/pairs.csv: other pairs than masked, seed 0"):
        read_pair_runs(folder / "runs", "small", "rmn", (0, 1), ("masked", "no_mask"))


@pytest.mark.parametrize("text", ["[]", "{}", '{"recipe": []}'])
def test_a_configuration_without_a_recipe_is_none(folder, text):
    place = folder / "runs" / "small" / "rmn" / "0" / "masked"
    (place / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"masked/config.json: key 'recipe' is missing; expected the config"):
        read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda shares: shares + np.outer(np.arange(6) == 3, [0.01, 0]),
            r"row 4: tta_ columns are \[.*\]: expected",
        ),
        (lambda shares: shares * [1, -1] + [[0, 0.5]], "row 1: tta_ columns"),
        (lambda shares: shares[:, :0], "0 rows of 2 classes: expected at least one row"),
    ],
)
def test_shares_that_are_none_name_file_and_row(tmp_path, change, message):
    place = write_run(tmp_path, "rmn", "masked", 0, {"width": 4})
    write_classes(place, ("a", "b"), SAMPLES, np.eye(2)[[0, 1] * 3], np.full((6, 2), 0.5))
    table = pd.read_csv(place / "predictions.csv")
    shares = change(table[["tta_a", "tta_b"]].to_numpy())
    kept = table.iloc[: len(shares) if shares.size else 0].copy()
    if shares.size:
        kept[["tta_a", "tta_b"]] = shares
    kept.to_csv(place / "predictions.csv", index=False)
    with pytest.raises(UserError, match=f"^{place / 'predictions.csv'}: {message}"):
        read(tmp_path, ["masked"], [0])


@pytest.mark.parametrize("column", ["sample", "split", "target"])
def test_each_of_the_samples_columns_is_compared(folder, column):
    place = folder / "runs" / "small" / "rmn" / "1" / "masked"
    table = pd.read_csv(place / "predictions.csv")
    table[column] = {"sample": table["sample"] + 1, "split": "test", "target": 1 - table["target"]}[column]
    table.to_csv(place / "predictions.csv", index=False)
    with pytest.raises(UserError, match=r"masked/predictions\.csv: other samples, targets or classes"):
        read(folder)


@pytest.mark.parametrize("task", [None, "", "pairs"])
def test_a_run_without_its_task_is_refused(tmp_path, task):
    with pytest.raises(UserError, match=r"config.json: task is .*expected expression, .* add a line such as"):
        run_task({} if task is None else {"task": task}, tmp_path)


def test_arms_that_leave_out_different_kinds_share_the_test_part(tmp_path):
    """Their validation parts differ; those of arms that leave out the same kind must not."""
    samples = sample_table([0, 1, 1, 0, 1, 1], ["val"] * 3 + ["test"] * 3)
    arms = {"arcface": 1, "softmax": 1, "arcface_unseen_transfer": 2}  # and the sample that it leaves out

    def leave_out(place, sample):
        lines = (place / "predictions.csv").read_text().splitlines()
        kept = [line for line in lines if not line.startswith(f"{sample},")]
        (place / "predictions.csv").write_text("\n".join(kept) + "\n")

    for arm, sample in arms.items():
        place = write_run(tmp_path, "face_losses", arm, 0, {"unseen": "swap"})
        write_classes(place, ("real", "manipulated"), samples, np.eye(2)[[0, 1] * 3])
        leave_out(place, sample)
    place = (tmp_path / "runs", "small", "face_losses", (0,), tuple(arms))
    kinds = [unseen_kind(load_method("face_losses"), run) for run in read_runs(*place)]
    assert kinds == ["swap", "swap", "transfer"]
    leave_out(tmp_path / "runs/small/face_losses/0/softmax", 2)
    with pytest.raises(UserError, match="other samples, targets or classes than arcface, seed 0"):
        read_runs(*place)
    with pytest.raises(
        UserError, match="arm 'arcface_unseen_transfer' predicts other samples than 'arcface'"
    ):
        runs = read_runs(*place[:-1], ("arcface", "arcface_unseen_transfer"))
        ensemble_runs(runs, ("arcface", "arcface_unseen_transfer"), "logits")
    leave_out(tmp_path / "runs/small/face_losses/0/arcface_unseen_transfer", 5)
    with pytest.raises(UserError, match="other samples, targets or classes than arcface, seed 0"):
        read_runs(*place[:-1], ("arcface", "arcface_unseen_transfer"))
