import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evaluated_project import sample_table, write_classes, write_data, write_pairs, write_params, write_run
from judged import evidence_of
from scipy.special import softmax
from sklearn.metrics import log_loss, roc_auc_score

from fer_repro.errors import UserError
from fer_repro.evaluation.evidence import read_evidence
from fer_repro.measures.verification import fold_accuracy
from fer_repro.methods.efficientnet import ENSEMBLE
from fer_repro.runs.folder import open_runs

PARAMS = Path(__file__).parents[2] / "params.yaml"
SEEDS = (0, 1)
TOGETHER = "plain+plain_siamese+attention+attention_siamese"


def read(folder, params, method):
    return read_evidence(open_runs(params, method, "small", folder / "runs", folder / "prepared", SEEDS))


def by_metric(found, **wanted):
    (one,) = [one for one in found if all(getattr(one, name) == value for name, value in wanted.items())]
    return one


def test_expressions_are_hits_by_protocol_and_augmentation(tmp_path):
    generator = np.random.default_rng(0)
    splits = ["train"] * 10 + ["val"] * 6 + ["test"] * 24 + ["challenge"] * 6
    labels = generator.integers(0, 3, 46)
    people = [f"p{row // 2}" for row in range(46)]
    samples = sample_table(labels, splits, occlusion=[int(row > 34) for row in range(46)])
    samples["pose_45"] = [int(row == 45) for row in range(46)]  # a single one: no evidence
    samples["subject"] = people
    params, model = write_params(tmp_path, PARAMS, "rmn", ("masked", "no_mask"))
    write_data(tmp_path, samples, ("a", "b", "c"))
    answers = {}
    for arm in ("masked", "no_mask"):
        for seed in SEEDS:
            clean, shown = generator.normal(size=(2, 36, 3))
            folder = write_run(tmp_path, "rmn", arm, seed, model, 2)
            write_classes(folder, "abc", samples, clean, softmax(shown, axis=1))
            answers[arm, seed] = clean.argmax(1), shown.argmax(1)
    found = read(tmp_path, params, "rmn")
    assert len(found) == 6  # of hard faces there are no copies
    official = by_metric(found, protocol="official", metric="accuracy", augmented=False)
    part = slice(6, 30)
    for arm in ("masked", "no_mask"):
        for seed in SEEDS:
            assert (official.arms[arm][seed] == (answers[arm, seed][0][part] == labels[16:40])).all()
    assert official.chance == pytest.approx(100 * np.bincount(labels[16:40]).max() / 24)
    assert len(np.unique(official.groups)) == 12
    assert official.pretraining == "none"
    assert official.recipe["model.width"] == model["width"]
    gain = official.gain("masked", "no_mask")
    assert gain.value == pytest.approx(
        100 * (official.arms["masked"].mean() - official.arms["no_mask"].mean())
    )
    hard = by_metric(found, protocol="occlusion", metric="accuracy", augmented=False)
    assert (hard.arms["masked"][1] == (answers["masked", 1][0][25:] == labels[35:])).all()
    augmented = by_metric(found, protocol="official", metric="accuracy", augmented=True)
    assert (augmented.arms["masked"][1] == (answers["masked", 1][1][part] == labels[16:40])).all()
    balanced = by_metric(found, protocol="official", metric="mean_class_accuracy", augmented=False)
    recalls = [np.mean(balanced.arms["masked"][:, labels[16:40] == k]) for k in range(3)]
    assert balanced.spread("masked").value == pytest.approx(100 * np.mean(recalls))
    assert balanced.chance == pytest.approx(100 / 3)
    with pytest.raises(UserError, match=r"rmn on small: no run of arm 'nomask'; did you mean 'no_mask'\?"):
        official.gain("masked", "nomask")


def test_folds_tested_in_turn_count_every_sample_once(tmp_path):
    samples = sample_table([0, 1, 0, 1, 1, 0], ["test"] * 6)
    params, model = write_params(tmp_path, PARAMS, "fan", ("self_relation",))
    write_data(tmp_path, samples, ("a", "b"))
    for seed in SEEDS:
        place = write_run(tmp_path, "fan", "self_relation", seed, model, folds=10)
        write_classes(place, "ab", samples, np.eye(2)[[0, 1, 0, 1, 0, 0]])
    found = by_metric(read(tmp_path, params, "fan"), metric="accuracy")
    assert found.protocol == "ten_fold"
    assert found.spread("self_relation").value == pytest.approx(100 * 5 / 6)


def test_forgeries_are_logits_of_frames_and_videos_with_their_ensemble(tmp_path):
    generator = np.random.default_rng(1)
    count, frames = 20, 3
    video = np.arange(count).repeat(frames)
    labels = (np.arange(count) % 2).repeat(frames)
    splits = np.where(video < 4, "train", np.where(video < 8, "val", "test"))
    samples = sample_table(labels, splits, original="")
    samples["clip"] = [f"v{n}" for n in video]
    samples["original"] = [f"v{n - 1}" if n % 2 else "" for n in video]
    params, model = write_params(tmp_path, PARAMS, "efficientnet", ENSEMBLE)
    write_data(tmp_path, samples, ("real", "manipulated"))
    kept = {}
    for arm in ENSEMBLE:
        for seed in SEEDS:
            z = generator.normal(size=48) + labels[12:]
            logits = np.stack([np.zeros(48), z], 1)
            write_classes(
                write_run(tmp_path, "efficientnet", arm, seed, model),
                ("real", "manipulated"),
                samples,
                logits,
            )
            kept[arm, seed] = z[12:]  # float32 in the file
    found = read(tmp_path, params, "efficientnet")
    assert {one.metric for one in found} == {
        "frame_auc", "frame_log_loss", "video_auc", "video_log_loss", "mean_class_accuracy",
    }  # fmt: skip
    truth, videos = labels[24:], np.arange(12).repeat(frames)
    area, loss, video_area = (
        by_metric(found, metric=m) for m in ("frame_auc", "frame_log_loss", "video_auc")
    )
    assert len(np.unique(area.groups)) == 6  # a real video and what was made of it
    together = np.mean([[kept[arm, seed] for seed in SEEDS] for arm in ENSEMBLE], axis=0)
    for arm, rows in [(TOGETHER, together), ("plain", [kept["plain", seed] for seed in SEEDS])]:
        areas = [100 * roc_auc_score(truth, row) for row in rows]
        losses = [log_loss(truth, 1 / (1 + np.exp(-row))) for row in rows]
        means = [[row[videos == n].mean() for n in range(12)] for row in rows]
        assert area.spread(arm).value == pytest.approx(np.mean(areas), abs=1e-5)
        assert loss.spread(arm).value == pytest.approx(np.mean(losses), abs=1e-5)
        assert video_area.spread(arm).value == pytest.approx(
            np.mean([100 * roc_auc_score(truth[::frames], row) for row in means]), abs=1e-5
        )
        seen = by_metric(found, metric="video_log_loss").spread(arm).value
        losses = [log_loss(truth[::frames], 1 / (1 + np.exp(-np.array(row)))) for row in means]
        assert seen == pytest.approx(np.mean(losses), abs=1e-5)
    balanced = by_metric(found, metric="mean_class_accuracy")
    for arm in ("plain", TOGETHER):
        rows = together if arm == TOGETHER else [kept["plain", seed] for seed in SEEDS]
        recalls = [[np.mean((row > 0)[truth == label] == label) for label in (0, 1)] for row in rows]
        assert balanced.spread(arm).value == pytest.approx(100 * np.mean(recalls))
    lower = loss.spread("plain").value - loss.spread(TOGETHER).value
    assert loss.gain(TOGETHER, "plain").value == pytest.approx(lower)


def test_pairs_are_accuracies_of_folds(tmp_path):
    generator = np.random.default_rng(2)
    params, model = write_params(tmp_path, PARAMS, "adacos", ("dynamic", "arcface"))
    table = pd.DataFrame(
        {
            "list": "test", "first": np.arange(400), "second": np.arange(400) + 400,
            "same": np.arange(400) % 2, "fold": np.arange(400) // 40 + 1,
        }
    )  # fmt: skip
    write_data(tmp_path, sample_table([0, 1] * 400, ["train"] * 800), ("a", "b"))
    scores = {}
    for arm in ("dynamic", "arcface"):
        for seed in SEEDS:
            scores[arm, seed] = np.round(table["same"] + generator.normal(size=400), 4)
            write_pairs(
                write_run(tmp_path, "adacos", arm, seed, model), table.assign(score=scores[arm, seed])
            )
    (found,) = read(tmp_path, params, "adacos")
    assert (found.protocol, found.metric, found.chance) == ("ten_fold", "pair_accuracy", 50)
    for (arm, seed), values in scores.items():
        oracle = fold_accuracy(values.to_numpy(), table["same"].to_numpy(), table["fold"].to_numpy())
        assert found.arms[arm][seed] == pytest.approx(oracle.accuracies)
    assert found.gain("dynamic", "arcface").groups == 10


def test_chance_is_two_errors_wide():
    targets = np.arange(700) % 7
    generator = np.random.default_rng(3)

    def arm(rate):
        return {"masked": generator.random((3, 700)) < rate}

    assert evidence_of(arm(1 / 7), targets).is_at_chance("masked")
    assert not evidence_of(arm(0.3), targets).is_at_chance("masked")
    logits = {"plain": generator.normal(size=(3, 700)) * 5}
    truth = targets > 2
    assert evidence_of(logits, truth, metric="frame_log_loss").is_at_chance("plain")
    sure = {"plain": logits["plain"] + 5 * truth}  # far too sure of itself, but better than a coin
    assert log_loss(truth, 1 / (1 + np.exp(-sure["plain"][0]))) > 0.69
    assert not evidence_of(sure, truth, metric="frame_log_loss").is_at_chance("plain")


def test_one_run_of_one_arm_is_evidence_too(tmp_path):
    """Hits, a recipe with what limits it, and no ensemble of arms that were not trained."""
    places = {"runs_root": tmp_path / "runs", "prepared_root": tmp_path / "prepared", "seeds": [1]}
    params, model = write_params(tmp_path, PARAMS, "efficientnet", ENSEMBLE)
    samples = sample_table(
        [0, 1] * 6, ["train"] * 4 + ["val"] * 2 + ["test"] * 6, clip=[f"v{n}" for n in range(12)]
    )
    write_data(tmp_path, samples, ("real", "manipulated"))
    logits = np.stack([np.zeros(8), np.arange(8.0)], 1)
    write_classes(
        write_run(tmp_path, "efficientnet", "plain", 1, model), ("real", "manipulated"), samples, logits
    )
    found = read_evidence(open_runs(params, "efficientnet", "small", **places, arms=["plain"]))
    assert [(one.metric, one.augmented, one.chance, list(one.arms)) for one in found] == [
        (f"{level}_{name}", False, 50.0, ["plain"])
        for level in ("frame", "video")
        for name in ("auc", "log_loss")
    ] + [("mean_class_accuracy", False, 50.0, ["plain"])]
    assert found[0].arms["plain"].tolist() == [[2, 3, 4, 5, 6, 7]]
    assert (found[0].seeds, found[0].protocol, found[0].note) == ((1,), "official", "a small note")
    assert {key: found[0].recipe[key] for key in ("max_train", "max_test", "smoke", "tta_copies")} == {
        "max_train": 0, "max_test": 0, "smoke": False, "tta_copies": 0,
    }  # fmt: skip
    config = tmp_path / "runs/small/efficientnet/1/plain/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "smoke": True}))
    again = read_evidence(open_runs(params, "efficientnet", "small", **places, arms=["plain"]))
    assert again[0].recipe["smoke"] is True
    assert "folds" not in found[0].recipe
    assert "model" not in found[0].recipe


def test_one_run_of_expressions(tmp_path):
    params, model = write_params(tmp_path, PARAMS, "rmn", ("masked",))
    samples = sample_table([0, 1, 1, 0, 1], ["train", "val", "test", "test", "test"])
    write_data(tmp_path, samples, ("a", "b"))
    write_classes(write_run(tmp_path, "rmn", "masked", 0, model), "ab", samples, np.eye(2)[[1, 1, 1, 1]])
    found = read_evidence(open_runs(params, "rmn", "small", tmp_path / "runs", tmp_path / "prepared", [0]))
    assert [(one.metric, one.augmented) for one in found] == [
        ("accuracy", False),
        ("mean_class_accuracy", False),
    ]
    assert found[0].arms["masked"].tolist() == [[True, False, True]]
    assert found[0].chance == pytest.approx(200 / 3)


def test_one_run_of_pairs_without_folds(tmp_path):
    """Three of five pairs show one person; the threshold 0.5 is the best of val."""
    params, model = write_params(tmp_path, PARAMS, "adacos", ("dynamic",))
    write_data(tmp_path, sample_table([0, 1] * 7, ["train"] * 14), ("a", "b"))
    lists = ["val"] * 2 + ["test"] * 5
    table = pd.DataFrame(
        {"list": lists, "first": range(7), "second": range(7, 14), "same": [1, 0, 1, 1, 1, 0, 0]}
    )
    scored = table.assign(fold=0, score=[0.5, 0.1, 0.9, 0.6, 0.2, 0.3, 0.8])
    write_pairs(write_run(tmp_path, "adacos", "dynamic", 0, model), scored)
    runs = open_runs(params, "adacos", "small", tmp_path / "runs", tmp_path / "prepared", [0])
    (found,) = read_evidence(runs)
    assert found.arms["dynamic"].tolist() == [[True, True, False, True, False]]
    assert (found.protocol, found.chance, found.augmented) == ("official", 60.0, False)
    assert found.targets.tolist() == [0] * 5
    assert found.targets.dtype == int


def test_chance_counts_groups_not_their_samples():
    """21 % right where 14 % are by chance: much for 700 faces, little for 70 people of ten like faces."""
    targets, people = np.arange(700) % 7, np.arange(700) // 10
    few = {"masked": np.tile(people % 14 < 3, (3, 1))}
    assert not evidence_of(few, targets).is_at_chance("masked")
    assert evidence_of(few, targets, groups=people).is_at_chance("masked")


def test_an_area_a_little_above_one_half_is_not_chance():
    generator = np.random.default_rng(0)
    truth = np.arange(40_000) % 2
    logits = {"plain": generator.normal(size=(3, 40_000)) + 0.042 * truth}
    found = evidence_of(logits, truth, metric="frame_auc")
    assert 50.8 < found.spread("plain").value < 51.4
    assert not found.is_at_chance("plain")


def test_a_wrong_model_section_names_the_file(tmp_path):
    params, model = write_params(tmp_path, PARAMS, "rmn", ("masked",))
    samples = sample_table([0, 1, 1], ["train", "test", "test"])
    write_data(tmp_path, samples, ("a", "b"))
    for seed in SEEDS:
        place = write_run(tmp_path, "rmn", "masked", seed, {**model, "widht": 1})
        write_classes(place, "ab", samples, np.eye(2))
    with pytest.raises(UserError, match=r"masked/config\.json: recipe\.model.*widht"):
        read(tmp_path, params, "rmn")
