"""Each task through one run: what is learnt, what is tested, which files come out."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from miniature_people import make_lfw
from safetensors.torch import load_file

from fer_repro.config import load_config
from fer_repro.datasets.adding import add_dataset
from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.datasets.store import open_store, write_store
from fer_repro.datasets.votes import target_columns
from fer_repro.errors import UserError
from fer_repro.loading.split import official_validation, open_split
from fer_repro.methods.method import load_method
from fer_repro.params import enable_dataset
from fer_repro.pipeline.arm import Arm
from fer_repro.pipeline.outcome import metric_line, pairs_to_score
from fer_repro.pipeline.run import train_run
from fer_repro.pipeline.training_task import check_recipe, task_of
from fer_repro.runs.folder import read_pair_runs
from fer_repro.runs.numbers import read_numbers
from fer_repro.runs.predictions import read_pair_scores, read_predictions, read_probes
from fer_repro.sections import read_section
from fer_repro.training.processes import make_fabric

PARAMS = Path(__file__).parents[2] / "params.yaml"
SETTINGS = {
    "synthetic_clips": {"people": {"train": 6, "val": 3, "test": 3}, "clips_per_person": 3},
    "synthetic_pairs": {
        "people": {"train": 4, "val": 3, "test": 6},
        "pictures": 4,
        "folds": 2,
        "per_fold": 6,
    },
    "synthetic_forgeries": {
        "real": {"train": 3, "val": 2, "test": 2},
        "manipulated": {"train": 4, "val": 3, "test": 3},
        "frames": 2,
    },
    "synthetic_engagement": {"units": {"train": 1, "val": 1, "test": 1}},
    "synthetic_resampled": {"people": {"train": 6, "val": 3, "test": 4}},
    "synthetic_smiles": {"people": {"train": 6, "val": 3, "test": 4}},
}


@pytest.fixture(autouse=True)
def restored_determinism():
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Tiny drawn sets, by the settings of the embedded ones with fewer people."""
    root = tmp_path_factory.mktemp("sets")
    for name, fewer in SETTINGS.items():
        whole = json.loads((PARAMS.parent / "data" / name / "manifest.json").read_text())
        path = root / "data" / name / "manifest.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(whole | fewer))
        prepare_dataset(name, path, root / "prepared" / name)
    return root / "prepared"


def train(root, prepared, method, dataset, **arguments):
    roots = {f"{name}_root": root / name for name in ("out", "ckpt", "timings")}
    return train_run(PARAMS, method, dataset, 0, **roots, prepared_root=prepared, smoke=True, **arguments)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_clips_are_predicted_once_each_and_explain_their_frames(tmp_path, prepared):
    report = train(tmp_path, prepared, "fan", "synthetic_clips", overrides={"data.max_test": 0})
    folder = report.folders["self_relation"]
    samples = open_store(prepared / "synthetic_clips").samples
    test = read_predictions(folder / "predictions.csv").of_split("test")
    rows = samples.iloc[test.samples]
    assert rows["clip"].tolist() == samples.loc[samples["split"] == "test", "clip"].unique().tolist()
    assert (rows["label"].to_numpy() == test.targets).all()
    with np.load(folder / "explained.npz") as explained:
        shown = explained["rows"]
        for clip, weights in zip(shown, explained["weights"], strict=True):
            frames = clip[clip >= 0]
            assert samples["clip"].iloc[frames].nunique() == 1
            assert len(frames) == (samples["clip"] == samples["clip"].iloc[frames[0]]).sum()
            assert weights[clip < 0].sum() == 0
            assert weights.sum() == pytest.approx(1, abs=2e-3)
    assert "tta_happy" not in (folder / "predictions.csv").read_text().splitlines()[0]


def test_pairs_are_scored_by_networks_that_learnt_other_people(tmp_path, prepared):
    report = train(tmp_path, prepared, "adacos", "synthetic_pairs", overrides={"data.max_test": 0})
    folder = report.folders["dynamic"]
    assert names(folder) == {
        "config.json", "embeddings.npz", "explained.npz", "history.csv", "metrics.json", "pairs.csv",
        "weights.safetensors",
    }  # fmt: skip
    pairs = read_pair_scores(folder / "pairs.csv")
    whole = pd.read_csv(prepared / "synthetic_pairs" / "pairs.csv")
    assert len(pairs) == len(whole)
    samples = open_store(prepared / "synthetic_pairs").samples
    learnt = set(samples.loc[samples["split"] == "train", "subject"])
    assert not learnt & set(samples["subject"].iloc[pairs[["first", "second"]].to_numpy().ravel()])
    with np.load(folder / "embeddings.npz") as kept:
        vectors = dict(zip(kept["samples"].tolist(), kept["embeddings"].astype(float), strict=True))
    first, second = vectors[pairs["first"][0]], vectors[pairs["second"][0]]
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert pairs["score"][0] == pytest.approx(cosine, abs=5e-3)
    weights = load_file(folder / "weights.safetensors")
    assert weights["head.weight"].shape[0] == len(learnt)
    assert list(pd.read_csv(folder / "history.csv"))[-1] == "scale"
    assert set(report.metrics["dynamic"]["test"]) >= {"auc", "pair_accuracy"}
    assert "pair accuracy" in metric_line(report.metrics["dynamic"])


def test_probes_read_what_is_left_in_embeddings_of_new_people(tmp_path, prepared):
    asked = {"data.max_test": 0, "data.max_train": 0}
    report = train(
        tmp_path, prepared, "blinding", "synthetic_pairs", overrides=asked, arms=["null_space", "reversal"]
    )
    store = open_store(prepared / "synthetic_pairs")
    folder = report.folders["null_space"]
    assert names(folder) == {
        "config.json", "embeddings.npz", "history.csv", "metrics.json", "pairs.csv", "probes.csv",
        "weights.safetensors",
    }  # fmt: skip
    probes = read_probes(folder / "probes.csv")
    tested = store.samples[store.samples["split"] == "test"]
    assert probes["sample"].tolist() == tested.index.tolist()
    assert probes["target"].tolist() == tested["label"].tolist()
    right = (probes["mlp"] == probes["target"]).mean()
    assert report.metrics["null_space"]["test"]["mlp_probe"] == pytest.approx(right)
    people = store.samples.loc[store.samples["split"] == "train", "subject"].nunique()
    weights = load_file(folder / "weights.safetensors")
    assert weights["head.weight"].shape[0] == people
    projection = weights["removal.projection"].double()
    torch.testing.assert_close(projection @ projection, projection, atol=1e-4, rtol=0)
    (record,) = pd.read_csv(folder / "history.csv").to_dict("records")
    assert (record["epoch"], record["best"]) == (0, 1)
    (runs,) = [read_pair_runs(tmp_path / "out", "synthetic_pairs", "blinding", [0], ["reversal"], store)]
    assert len(runs[0].probes) == len(tested)
    wrong = folder.with_name("reversal") / "probes.csv"
    wrong.write_text(wrong.read_text().replace("\n", "\n9", 1))
    with pytest.raises(UserError, match="other faces or labels than the test part"):
        read_pair_runs(tmp_path / "out", "synthetic_pairs", "blinding", [0], ["reversal"], store)


def test_an_arm_may_learn_from_some_of_the_faces(prepared):
    method = load_method("inside_bias")
    place = (PARAMS, "inside_bias", "synthetic", "dark_16", 0)
    config = load_config(*place, overrides={"recipe.model.column": "jaw_square"})
    store = open_store(prepared / "synthetic_pairs")
    options = read_section(method.options, config.recipe.model, "here")
    arm = Arm(method, config, options, store, Path(), "expression", make_fabric(config))
    table, classes = arm.table()
    whole = store.samples
    assert classes == store.classes
    assert 0 < (table["split"] == "train").sum() < (whole["split"] == "train").sum()
    for part in ("val", "test"):
        assert table[table["split"] == part].equals(whole[whole["split"] == part])


def test_an_arm_that_is_fitted_at_once_has_no_epochs(tmp_path, prepared):
    report = train(tmp_path, prepared, "benford", "synthetic_resampled")
    folder = report.folders["published_order"]
    assert names(folder) == {
        "config.json", "explained.npz", "history.csv", "metrics.json", "predictions.csv",
        "weights.safetensors",
    }  # fmt: skip
    (record,) = pd.read_csv(folder / "history.csv").to_dict("records")
    assert (record["epoch"], record["best"]) == (0, 1)
    metrics, timing = report.metrics["published_order"], report.timings["published_order"]
    assert record["val_accuracy"] == pytest.approx(metrics["val"]["accuracy"])
    assert (metrics["best_epoch"], metrics["epochs"], timing["epochs"]) == (0, 0, [])
    weights = load_file(folder / "weights.safetensors")
    assert metrics["parameters"] == sum(tensor.numel() for tensor in weights.values())
    assert (report.metrics["network"]["epochs"], report.metrics["network"]["best_epoch"]) == (1, 1)
    again = train(tmp_path / "again", prepared, "benford", "synthetic_resampled", arms=["published_order"])
    for name in names(folder):
        assert (again.folders["published_order"] / name).read_bytes() == (folder / name).read_bytes(), name


def test_synthesised_faces_are_measured_against_the_wanted_ones(tmp_path, prepared):
    report = train(tmp_path, prepared, "pixel_synthesis", "synthetic_smiles")
    store = open_store(prepared / "synthetic_smiles")
    folder = report.folders["copy"]
    assert names(folder) == {
        "config.json", "history.csv", "metrics.json", "predictions.csv", "weights.safetensors",
    }  # fmt: skip
    test = read_numbers(folder / "predictions.csv").of_split("test")
    table = store.samples.iloc[test.samples]
    assert (set(table["split"]), set(table["expression"])) == ({"test"}, {"neutral"})
    assert len(test.samples) == 4
    assert not test.targets.any()
    images = store.images.astype(float)  # the wanted image follows each
    gaps = [np.mean((images[row] - images[row + 1]) ** 2) for row in test.samples]
    np.testing.assert_allclose(test.values**2, gaps, rtol=1e-5)
    found = report.metrics["copy"]
    assert set(found["test"]) == {"mse"}  # equal numbers have no order
    assert found["test"]["mse"] == pytest.approx(np.mean(gaps), rel=1e-5)
    (record,) = pd.read_csv(folder / "history.csv").to_dict("records")
    assert set(record) == {"epoch", "lr", "train_loss", "val_loss", "best"}
    assert record["val_loss"] == pytest.approx(found["val"]["mse"], rel=1e-5)
    assert report.metrics["window_3"]["test"]["mse"] != found["test"]["mse"]


def test_synthesis_refuses_what_it_cannot_do(tmp_path, prepared):
    store = open_store(prepared / "synthetic_smiles")
    place = (PARAMS, "pixel_synthesis", "synthetic_smiles", "copy", 0)
    check_recipe(load_config(*place), store)
    with pytest.raises(UserError, match="tta_copies is 2: expected 0"):
        check_recipe(load_config(*place, overrides={"recipe.tta_copies": 2}), store)
    with pytest.raises(
        UserError, match="holds sequences of measurements, method pixel_synthesis takes frames"
    ):
        task_of(load_method("pixel_synthesis"), open_store(prepared / "synthetic_engagement"))


def test_a_solution_is_read_back_from_its_run(tmp_path, prepared):
    from fer_repro.runs.loaded_run import load_run, look

    report, store = (
        train(tmp_path, prepared, "benford", "synthetic_resampled"),
        open_store(prepared / "synthetic_resampled"),
    )
    run = load_run(report.folders["nonzero"], store)
    written = read_predictions(report.folders["nonzero"] / "predictions.csv")
    logits = look(run, written.samples, lambda network, images: {"logits": network(images)})["logits"]
    np.testing.assert_allclose(logits, written.logits, rtol=1e-6)


def test_images_of_another_size_are_not_resized_for_traces(tmp_path, prepared):
    roots = {f"{name}_root": tmp_path / name for name in ("out", "ckpt", "timings")}
    with pytest.raises(
        UserError, match=r"image_size is 48, but .* of 64 x 64 pixels, and resizing would remove"
    ):
        train_run(
            PARAMS, "benford", "synthetic_resampled", 0, **roots, prepared_root=prepared,
            overrides={"recipe.image_size": 48},
        )  # fmt: skip


def test_siamese_arms_learn_distances_first(tmp_path, prepared):
    report = train(tmp_path, prepared, "efficientnet", "synthetic_forgeries", arms=["plain", "plain_siamese"])
    assert "triplets.csv" not in names(report.folders["plain"])
    folder = report.folders["plain_siamese"]
    assert len(pd.read_csv(folder / "triplets.csv")) == 1
    head = (folder / "predictions.csv").read_text().splitlines()[0]
    assert head == "sample,split,target,logit_real,logit_manipulated"
    assert (read_predictions(folder / "predictions.csv").logits[:, 0] == 0).all()


def test_official_validation_repeats_real_faces_but_predicts_each_once(tmp_path, prepared):
    official = {"recipe.sampling.validation": "official", "data.max_val": 8}
    arguments = {"arms": ["plain", "plain_siamese"], "overrides": official}
    report = train(tmp_path, prepared, "efficientnet", "synthetic_forgeries", **arguments)
    store = open_store(prepared / "synthetic_forgeries")
    parts = store.samples[store.samples["split"] == "val"]
    shown = official_validation(open_split(store, "val"), 8, seed=0)
    for folder in report.folders.values():
        known = read_predictions(folder / "predictions.csv").of_split("val")
        assert known.samples.tolist() == sorted(set(shown.samples))
        assert known.samples[known.targets == 1].tolist() == parts.index[parts["label"] == 1][:4].tolist()
        logit = dict(zip(known.samples, known.logits[:, 1], strict=True))  # of the column manipulated
        losses = [
            np.log1p(np.exp(logit[s] * (1 - 2 * t)))
            for s, t in zip(shown.samples, shown.targets, strict=True)
        ]
        history = pd.read_csv(folder / "history.csv")
        assert history["val_loss"].tolist() == pytest.approx([np.mean(losses)], rel=1e-5)


def test_a_killed_siamese_arm_does_not_learn_its_distances_again(tmp_path, prepared, monkeypatch):
    from fer_repro.pipeline import outcome, run

    whole = train(tmp_path / "a", prepared, "efficientnet", "synthetic_forgeries", arms=["plain_siamese"])

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "write_outcome", stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", prepared, "efficientnet", "synthetic_forgeries", arms=["plain_siamese"])
    monkeypatch.setattr(run, "write_outcome", outcome.write_outcome)
    again = train(tmp_path / "b", prepared, "efficientnet", "synthetic_forgeries", arms=["plain_siamese"])
    for name in names(whole.folders["plain_siamese"]):
        first, second = (report.folders["plain_siamese"] / name for report in (whole, again))
        assert first.read_bytes() == second.read_bytes(), name
    timing = json.loads(
        (tmp_path / "b/timings/synthetic_forgeries/efficientnet/0/plain_siamese.json").read_text()
    )
    assert timing["trained_images"] == 0


def fold_store(folder, name="synthetic"):
    """Twelve people in three folds, two noisy faces each."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(12), 2)
    samples = pd.DataFrame(
        {
            "image": range(24), "label": people % 7, "subject": [f"p{k:02d}" for k in people], "clip": "",
            "fold": people % 3 + 1, "split": np.array(["test", "val", "train"])[people % 3],
        }
    )  # fmt: skip
    classes = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    images = rng.integers(0, 256, (24, 48, 48)).astype(np.uint8)
    return write_store(folder / name, name, classes, images, samples, {})


def test_every_fold_is_tested_once_by_a_network_of_its_own(tmp_path):
    fold_store(tmp_path / "prepared")
    limits = {"data.folds": 3, "data.max_train": 0, "data.max_val": 0, "data.max_test": 0}
    report = train(tmp_path, tmp_path / "prepared", "rmn", "synthetic", arms=["no_mask"], overrides=limits)
    folder = report.folders["no_mask"]
    predictions = read_predictions(folder / "predictions.csv")
    assert predictions.samples.tolist() == list(range(24))
    assert set(predictions.splits) == {"test"}
    weights = [load_file(folder / f"weights_fold{k}.safetensors") for k in (1, 2, 3)]
    assert not torch.equal(weights[0]["fc.1.weight"], weights[1]["fc.1.weight"])
    assert pd.read_csv(folder / "history.csv")["fold"].tolist() == [1, 2, 3]
    assert len(report.metrics["no_mask"]["best_epoch"]) == 3


def test_numbers_are_predicted_and_measured(tmp_path, prepared):
    arms = ["rank_loss", "mse", "published_rank_loss", "bag"]
    report = train(tmp_path, prepared, "engagement", "synthetic_engagement", arms=arms)
    folder = report.folders["mse"]
    assert names(folder) == {
        "config.json", "explained.npz", "history.csv", "metrics.json", "predictions.csv",
        "weights.safetensors",
    }  # fmt: skip
    assert json.loads((folder / "config.json").read_text())["task"] == "regression"
    test = read_numbers(folder / "predictions.csv").of_split("test")
    store = open_store(prepared / "synthetic_engagement")
    assert test.targets.tolist() == [
        float(store.classes[label]) for label in store.samples["label"].iloc[test.samples]
    ]
    found = report.metrics["mse"]["test"]
    assert found["mse"] == pytest.approx(np.mean((test.values - test.targets) ** 2), rel=1e-8)
    assert set(found) == {"mse", "spearman"}
    assert metric_line(report.metrics["mse"]) == (
        f"test mse {found['mse']:.4f}, test spearman {found['spearman']:.4f}"
    )
    history = pd.read_csv(folder / "history.csv")
    assert not [name for name in history if "accuracy" in name]
    assert history["val_loss"].iloc[0] == pytest.approx(report.metrics["mse"]["val"]["mse"], rel=1e-5)
    with np.load(folder / "explained.npz") as explained:
        assert explained["alpha"].shape == (2, 10)


def test_the_published_rank_loss_trains_the_same_bits(tmp_path, prepared):
    """It has no gradient: weights and predictions are those of the MSE alone, byte for byte."""
    arms = ["rank_loss", "mse", "published_rank_loss"]
    overrides = {"recipe.epochs": 2, "recipe.model.rank_weight": 1.0}
    report = train(tmp_path, prepared, "engagement", "synthetic_engagement", arms=arms, overrides=overrides)
    files = ("weights.safetensors", "predictions.csv")
    kept = {arm: [(report.folders[arm] / name).read_bytes() for name in files] for arm in arms}
    assert kept["published_rank_loss"] == kept["mse"]
    assert kept["rank_loss"] != kept["mse"]
    losses = {arm: pd.read_csv(report.folders[arm] / "history.csv")["train_loss"] for arm in arms}
    assert (losses["published_rank_loss"] > losses["mse"] + 0.1).all()  # though it was added


def test_sequences_and_images_are_not_confused(tmp_path, prepared):
    sequences = open_store(prepared / "synthetic_engagement")
    with pytest.raises(UserError, match="is for regression, method rmn for expression"):
        task_of(load_method("rmn"), sequences)
    with pytest.raises(UserError, match="is for expression, method engagement for regression"):
        task_of(load_method("engagement"), fold_store(tmp_path))
    assert task_of(load_method("engagement"), sequences) == "regression"
    config = load_config(PARAMS, "engagement", "synthetic_engagement", "mse", 0)
    check_recipe(config, sequences)
    changes = {
        "recipe.image_size": 48, "recipe.selection": "accuracy", "recipe.tta_copies": 2,
        "recipe.augmentation.flip": 0.5, "recipe.label_smoothing": 0.1, "recipe.targets": "shares",
        "recipe.sampling.order": "balanced",
    }  # fmt: skip
    for key, value in changes.items():
        changed = load_config(PARAMS, "engagement", "synthetic_engagement", "mse", 0, overrides={key: value})
        with pytest.raises(UserError, match=f"{key.removeprefix('recipe.')} is {value!r}: expected"):
            check_recipe(changed, sequences)
    images = load_config(PARAMS, "rmn", "synthetic", "masked", 0, overrides={"recipe.image_size": 0})
    with pytest.raises(UserError, match="image_size is 0: expected pixels"):
        check_recipe(images, fold_store(tmp_path / "again"))


def arm_of(store, method="rmn", **data):
    built = load_method(method)
    config = load_config(PARAMS, method, "synthetic", built.headline, 0)
    config = replace(config, data=replace(config.data, **data))
    options = read_section(built.options, config.recipe.model, "p")
    fabric = make_fabric(config)
    return Arm(built, config, options, store, Path("state"), task_of(built, store), fabric)


def test_the_epoch_may_be_chosen_on_the_test_part_as_published(tmp_path):
    store = fold_store(tmp_path)
    train_split, chosen, classes = arm_of(store).to_learn()
    assert (len(train_split), len(chosen), classes) == (8, 8, 7)
    train_split, chosen, _ = arm_of(store, select_on="test").to_learn()
    assert (len(train_split), len(chosen)) == (16, 8)
    assert set(store.samples["split"].iloc[chosen.samples]) == {"test"}


def test_a_method_is_refused_on_data_of_another_task(prepared, tmp_path):
    with pytest.raises(UserError, match="is for manipulation, method rmn for expression"):
        task_of(load_method("rmn"), open_store(prepared / "synthetic_forgeries"))
    assert task_of(load_method("efficientnet"), fold_store(tmp_path)) == "expression"
    assert task_of(load_method("rmn"), open_store(prepared / "synthetic_pairs")) == "expression"


def test_people_are_no_expressions(tmp_path):
    """A set of identities has a class for each person: only methods that verify train on it."""
    make_lfw(tmp_path / "raw")
    store = add_dataset("lfw", tmp_path / "raw", tmp_path / "stores")
    for name in ("rmn", "ran", "fan", "efficientnet"):
        with pytest.raises(UserError, match=f"'lfw' is for verification, method {name} for"):
            task_of(load_method(name), store)
    assert task_of(load_method("adacos"), store) == "verification"


def test_lists_that_show_learnt_people_give_thresholds_at_most(prepared):
    store = open_store(prepared / "synthetic_pairs")
    arm = arm_of(store, "adacos")
    assert set(pairs_to_score(arm)["list"]) == {"val", "test"}
    few = pairs_to_score(replace(arm, config=replace(arm.config, data=replace(arm.config.data, max_test=4))))
    assert few.groupby(["list", "fold", "same"]).size().max() == 1


def test_votes_are_learnt_where_the_data_set_has_them(tmp_path):
    store = fold_store(tmp_path)
    arm = arm_of(store)
    drawn = replace(arm, config=replace(arm.config, recipe=replace(arm.config.recipe, targets="drawn")))
    with pytest.raises(UserError, match=r"targets is 'drawn', but data set 'synthetic' has no votes for it"):
        drawn.to_learn()
    shares = np.random.default_rng(0).dirichlet(np.ones(7), 24)
    voted = store.samples.assign(**target_columns(shares, store.classes))
    store.samples = voted
    train, held_out, _ = drawn.to_learn()
    assert np.allclose(train.shares, shares[train.samples])
    assert held_out.shares is None
    assert arm.to_learn()[0].shares is None


def test_two_processes_make_the_files_of_one(tmp_path):
    """Through the command, as a user starts it."""
    store = fold_store(tmp_path / "store", "folder")
    params = Path(shutil.copy(PARAMS, tmp_path))
    enable_dataset(params, "folder", ["faces"], str(store.folder / "manifest.json"))
    words = ("train", "rmn", "folder", "--recipe", "synthetic", "--smoke", "-s", "recipe.image_size=32")
    # Adam's first steps would turn rounding into signs
    words = (*words, "-s", "recipe.optimiser.name=sgd", "--params", str(params))
    launcher = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"
    folders = []
    for name, before in (("one", ()), ("two", launcher)):
        command = [
            sys.executable,
            *before,
            "-m",
            "fer_repro.cli",
            *words,
            "--out",
            str(tmp_path / name / "runs"),
        ]
        done = subprocess.run(command, cwd=PARAMS.parent, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stderr.count("epoch 1/1") == len(done.stdout.splitlines()) == 2  # once for each arm
        folders.append(tmp_path / name / "runs/folder/rmn/0/masked")
    names = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert names[0] == names[1]
    first, second = (read_predictions(folder / "predictions.csv") for folder in folders)
    assert first.samples.tolist() == second.samples.tolist()
    assert np.allclose(first.logits, second.logits, rtol=1e-3, atol=1e-3)
    assert len({(folder / "config.json").read_text() for folder in folders}) == 1


def continued(root, prepared, **arguments):
    return train(root, prepared, "distillation", "synthetic", **arguments)


def test_arms_begin_with_networks_that_one_run_trains_once(tmp_path, monkeypatch, capsys):
    fold_store(tmp_path / "prepared")
    whole = continued(tmp_path / "a", tmp_path / "prepared")
    lines = [line for line in capsys.readouterr().err.splitlines() if "epoch 1/1" in line]
    assert [line.split()[0].rpartition("/")[2] for line in lines] == list(whole.folders)
    alone = continued(tmp_path / "b", tmp_path / "prepared", arms=["joined"])
    assert list(alone.folders) == ["joined"]
    assert names(tmp_path / "b/out/synthetic/distillation/0") == {"joined"}
    for name in names(whole.folders["joined"]):
        first, second = (report.folders["joined"] / name for report in (whole, alone))
        assert first.read_bytes() == second.read_bytes(), name


def test_a_killed_arm_trains_its_sources_only_once(tmp_path, monkeypatch, capsys):
    from fer_repro.pipeline import outcome, run

    fold_store(tmp_path / "prepared")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "write_outcome", stop)
    with pytest.raises(KeyboardInterrupt):
        continued(tmp_path, tmp_path / "prepared", arms=["joined"])
    monkeypatch.setattr(run, "write_outcome", outcome.write_outcome)
    assert capsys.readouterr().err.count("epoch 1/1") == 4
    continued(tmp_path, tmp_path / "prepared", arms=["joined"])
    assert "epoch 1/1" not in capsys.readouterr().err


def test_the_stamp_follows_the_sources_too(tmp_path):
    arm = arm_of(fold_store(tmp_path))
    other = replace(arm, config=replace(arm.config, seed=1))
    stamps = [replace(arm, sources=sources).stamp() for sources in ((), (arm,), (other,))]
    assert len(set(stamps)) == 3


def test_every_fold_begins_with_networks_of_that_fold(tmp_path):
    arm = arm_of(fold_store(tmp_path), folds=3)
    parts = replace(arm, sources=(replace(arm, state=Path("source")),)).folds()
    assert [part.sources[0].fold for part in parts] == [part.fold for part in parts] == [1, 2, 3]
    assert [part.sources[0].state for part in parts] == [Path(f"source/fold{k}") for k in (1, 2, 3)]
    assert arm.folds()[0].sources == ()


def test_a_head_is_refused_before_any_arm_is_trained(tmp_path, capsys):
    fold_store(tmp_path / "prepared")
    chosen = {"recipe.head": "pgm"}
    with pytest.raises(UserError) as error:
        continued(tmp_path, tmp_path / "prepared", overrides=chosen)
    said = (
        "recipe synthetic of distillation: head is 'pgm', but the features before its linear layer are frozen"
    )
    assert said in str(error.value)
    assert "in arm 'joined'; arms that can have it: untouched, fine_tuned, kl," in str(error.value)
    assert "epoch" not in capsys.readouterr().err
    report = continued(tmp_path, tmp_path / "prepared", overrides=chosen, arms=["kl"])
    config = json.loads((report.folders["kl"] / "config.json").read_text())
    assert (config["recipe"]["head"], config["recipe"]["note"].count("pgm head")) == ("pgm", 1)


def test_a_head_changes_the_training_and_not_the_network(tmp_path):
    fold_store(tmp_path / "prepared")
    found = {}
    for head in ("none", "dropout", "pgm"):
        root = tmp_path / head
        report = train(root, tmp_path / "prepared", "rmn", "synthetic", overrides={"recipe.head": head})
        found[head] = load_file(report.folders["no_mask"] / "weights.safetensors")
    keys = {head: list(weights) for head, weights in found.items()}
    assert keys["none"] == keys["dropout"] == keys["pgm"]
    for head in ("dropout", "pgm"):
        assert not torch.equal(found["none"]["fc.1.weight"], found[head]["fc.1.weight"])


def test_costs_of_an_arm_that_is_fitted_at_once(tmp_path, prepared):
    from fer_repro.runs.costs import _cost

    report, store = (
        train(tmp_path, prepared, "benford", "synthetic_resampled"),
        open_store(prepared / "synthetic_resampled"),
    )
    forest, network = (_cost(report.folders[arm], store) for arm in ("nonzero", "network"))
    weights = load_file(report.folders["nonzero"] / "weights.safetensors")
    assert forest["parameters"] == sum(tensor.numel() for tensor in weights.values())
    assert np.isnan(forest["flops"])
    assert network["flops"] > 0
    assert forest["item"] == network["item"] == "1 face"


def test_an_arm_learns_no_face_of_the_kind_that_it_leaves_out(tmp_path, prepared):
    arms = ("arcface", "softmax_all_kinds", "adacos", "arcface_unseen_transfer")
    report = train(tmp_path, prepared, "face_losses", "synthetic_forgeries", arms=arms)
    store = open_store(prepared / "synthetic_forgeries")
    shown = {}
    for arm in arms:
        found = read_predictions(report.folders[arm] / "predictions.csv")
        assert set(found.targets) == {0, 1}, "tested as real or manipulated, whatever was learnt"
        names = store.samples["forgery"].iloc[found.samples].to_numpy(str)
        shown[arm] = {part: set(names[found.splits == part]) for part in ("val", "test")}
    every = {"none", "swap", "transfer", "resample"}
    assert shown["arcface"]["val"] == shown["adacos"]["val"] == every - {"swap"}
    assert shown["arcface_unseen_transfer"]["val"] == every - {"transfer"}
    assert shown["softmax_all_kinds"]["val"] == every
    assert all(each["test"] == every for each in shown.values())
    weights = load_file(report.folders["adacos"] / "weights.safetensors")
    assert len(weights["head.weight"]) == 3


def test_kinds_become_targets_of_the_training_part_alone(tmp_path, prepared):
    store = open_store(prepared / "synthetic_forgeries")
    method = load_method("face_losses")
    for arm, kind in (("adacos", True), ("arcface", False)):
        config = load_config(PARAMS, "face_losses", "synthetic_forgeries", arm, 0)
        options = read_section(method.options, config.recipe.model, "model")
        fabric = make_fabric(config)
        part = Arm(method, config, options, store, tmp_path, task_of(method, store), fabric)
        train_part, held_out, classes = part.to_learn()
        names = store.samples["forgery"].iloc[train_part.samples]
        wanted = names.map({"none": 0, "resample": 1, "transfer": 2}).to_numpy()
        assert (train_part.targets == (wanted if kind else wanted > 0)).all()
        assert set(held_out.targets) == {0, 1}
        assert classes == 2
    config = load_config(
        PARAMS, "face_losses", "synthetic_forgeries", "adacos", 0, overrides={"recipe.model.kinds": 3}
    )
    with pytest.raises(UserError, match="the network has classes for 3"):
        Arm(method, config, options, store, tmp_path, "manipulation", fabric).to_learn()
