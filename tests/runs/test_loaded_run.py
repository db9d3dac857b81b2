import json

import numpy as np
import pytest
import torch
from evaluated_project import sample_table, write_data

from fer_repro.config import load_config, run_folder
from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError
from fer_repro.evaluation.forgery_views import look_at_frames
from fer_repro.evaluation.pair_views import ClassAngles, angle_table, class_angles
from fer_repro.loading.augmentation import clean_images
from fer_repro.methods.method import load_method
from fer_repro.runs.loaded_run import load_run, look
from fer_repro.training.checkpoint import copy_weights, save_weights

PEOPLE = 4


def write_network(folder, method, dataset, arm, classes, task="expression"):
    """A run with the start weights of an arm; returns its network."""
    config = load_config("params.yaml", method, dataset, arm, 0, smoke=True)
    built = load_method(method)
    torch.manual_seed(3)
    network = built.build_model(arm, built.options(**config.recipe.model), classes)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.as_json(task=task))
    save_weights(folder / "weights.safetensors", copy_weights(network))
    return network.eval()


@pytest.fixture
def people(tmp_path):
    """Four people of three faces to learn, whose pairs were scored."""
    names = [f"p{i}" for i in range(PEOPLE) for _ in range(3)]
    samples = sample_table([0] * len(names), ["train"] * len(names), subject=names)
    write_data(tmp_path, samples, ("neutral",))
    folder = tmp_path / "runs/small/adacos/0/dynamic"
    network = write_network(folder, "adacos", "synthetic_pairs", "dynamic", PEOPLE, "verification")
    store = open_store(tmp_path / "prepared/small")
    return tmp_path / "runs", network, store


def test_people_are_the_classes_where_pairs_are_verified(people):
    root, _, store = people
    run = load_run(root / "small/adacos/0/dynamic", store)
    assert run.classes == ("p0", "p1", "p2", "p3")
    held = run.rows("val")
    assert sorted(store.samples["subject"].iloc[held]) == list(run.classes)
    assert len(run.rows("train")) == 2 * PEOPLE
    assert not run.network.training


def test_a_look_is_the_network_on_clean_images_in_any_batches(people):
    root, network, store = people
    run = load_run(root / "small/adacos/0/dynamic", store)
    rows = np.arange(11)[::-1]  # two batches of eight, the order kept
    seen = look(run, rows)
    for place, row in enumerate(rows):
        image = clean_images(torch.from_numpy(np.array(store.images[row]))[None, None], 64)
        with torch.no_grad():
            expected = network(image)
        assert np.allclose(seen["embeddings"][place], expected.embeddings[0], atol=1e-5)


def test_angles_by_hand(people):
    root, network, store = people
    found = class_angles({"dynamic": run_folder(root, "small", "adacos", 0, "dynamic")}, store)["dynamic"]
    assert found.cosines.shape == (PEOPLE, PEOPLE)
    assert sorted(found.targets) == [0, 1, 2, 3]
    assert found.scale == float(network.head.scale)
    assert np.allclose(found.logits, float(network.head.scale) * found.cosines, atol=1e-5)
    row = angle_table({"dynamic": found}).iloc[0]
    own = [found.cosines[i, target] for i, target in enumerate(found.targets)]
    assert row["own angle"] == pytest.approx(np.median(np.degrees(np.arccos(own))), abs=1e-3)
    shares = np.exp(found.logits) / np.exp(found.logits).sum(1, keepdims=True)
    assert row["P"] == pytest.approx(np.median([shares[i, t] for i, t in enumerate(found.targets)]))
    right = [int(found.logits[i].argmax() == t) for i, t in enumerate(found.targets)]
    assert row["right (%)"] == pytest.approx(100 * np.mean(right))
    lengths = network.head.weight.detach().numpy() ** 2
    assert row["mean |W|"] == pytest.approx(np.sqrt(lengths.sum(1)).mean(), rel=1e-5)


@pytest.mark.parametrize(("arm", "maps"), [("attention", True), ("plain", False)])
def test_frames_give_features_and_attention_where_there_is_any(tmp_path, arm, maps):
    samples = sample_table([0, 1, 1], ["test"] * 3)
    write_data(tmp_path, samples, ("real", "manipulated"))
    folder = tmp_path / "run"
    network = write_network(folder, "efficientnet", "synthetic_forgeries", arm, 2)
    seen = look_at_frames(folder, open_store(tmp_path / "prepared/small"), np.array([2, 0]))
    assert seen["features"].shape == (2, network.extractor.dimensions)
    assert ("attention" in seen) is maps
    if maps:
        assert seen["attention"].shape == (2, 1, 8, 8)
        assert ((seen["attention"] > 0) & (seen["attention"] < 1)).all()


def test_what_is_missing_or_misfits_is_named(people):
    root, _, store = people
    folder = root / "small/adacos/0/dynamic"
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["model"]["width"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="does not fit adacos, arm dynamic"):
        load_run(folder, store)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="expected the weights of a trained run"):
        load_run(folder, store)


def test_angles_are_put_into_numbers_by_hand():
    cosines = np.array([[1.0, 0.5, -1.0], [0.0, 0.5, 0.0]])
    logits = np.log([[8.0, 1.0, 1.0], [3.0, 1.0, 1.0]])
    one = ClassAngles(cosines, logits, np.array([0, 1]), 7.5, np.array([1.0, 2.0, 3.0]))
    (row,) = angle_table({"arm": one}).to_dict("records")
    assert row == pytest.approx(
        {
            "arm": "arm", "faces": 2, "s": 7.5, "own angle": (0 + 60) / 2, "other angle": 90.0,
            "P": (0.8 + 0.2) / 2, "right (%)": 50.0, "mean |W|": 2.0,
        }
    )  # fmt: skip
    beyond = ClassAngles(cosines * 1.0000001, logits, one.targets, 7.5, one.lengths)
    assert angle_table({"arm": beyond})["own angle"].item() == pytest.approx(30, abs=1e-4)
    opposite = ClassAngles(-cosines * 1.0000001, logits, one.targets, 7.5, one.lengths)
    assert angle_table({"arm": opposite})["own angle"].item() == pytest.approx(150, abs=1e-4)
