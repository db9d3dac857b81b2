"""What must hold for any input: readers, protocols, statistics and the configuration."""

import csv
import io
import json
import math
import string
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_repro.config import load_config
from fer_repro.datasets.folds import fold_split, subject_folds
from fer_repro.datasets.pairs import pairs_csv, read_pairs
from fer_repro.datasets.pixel_csv import SIDE, careful_pixels, fast_pixels
from fer_repro.datasets.samples import check_samples, has_controls, read_samples, samples_csv
from fer_repro.errors import UserError, nearest, one_line
from fer_repro.files import parse_pairs
from fer_repro.measures.classification import classification_metrics, softmax
from fer_repro.measures.intervals import holm, mcnemar_exact, mcnemar_mid, sample_interval, seed_interval
from fer_repro.measures.verification import auc, equal_error_rate, roc
from fer_repro.plain_yaml import parse_yaml
from fer_repro.runs.predictions import read_pair_scores, write_pair_scores
from fer_repro.spreadsheets import harmless

QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PARAMS = Path(__file__).parents[2] / "params.yaml"
WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = WORDS.filter(lambda name: not has_controls(name))
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(string.printable[:95], max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(string.ascii_letters, max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def attempt(function, *arguments):
    """What a call gives, and what it says where it refuses."""
    try:
        return function(*arguments), ""
    except UserError as error:
        return None, str(error)


def resolve(overrides):
    return load_config(PARAMS, "rmn", "synthetic", "masked", 0, overrides=overrides)


# Readers


@given(st.binary(max_size=300) | WORDS.map(str.encode))
@QUICK
def test_any_text_is_yaml_or_one_clear_error(content):
    value, said = attempt(parse_yaml, content.decode("utf-8", "replace"), "params.yaml")
    json.dumps(value)  # nothing but what JSON knows
    assert said.startswith("params.yaml: ") or not said
    assert said.isprintable()


@given(JSON)
@QUICK
def test_json_is_yaml(value):
    """YAML 1.2 was made so that every JSON text is one."""
    assert parse_yaml(json.dumps(value), "x") == value


@given(st.lists(WORDS, max_size=4))
@QUICK
def test_any_pair_of_a_command_line_is_read_or_told_of(pairs):
    _, said = attempt(parse_pairs, pairs, "-p")
    assert said.startswith("-p ") or not said
    assert said.isprintable()


@given(st.text())
@QUICK
def test_a_message_is_one_line_that_ends(text):
    said = str(UserError(text))
    assert said.isprintable()
    assert len(said) <= 10 * 2010
    assert one_line(said) == said or len(said) > 2000


@given(WORDS, st.lists(WORDS, max_size=5))
@QUICK
def test_the_nearest_choice_is_one_of_them(name, choices):
    said = nearest(name, choices)
    assert any(choice in said for choice in choices) or not choices


@given(st.lists(st.tuples(NAMES, NAMES, NUMBERS), min_size=1, max_size=8))
@QUICK
def test_a_sample_table_comes_back_as_it_was_written(tmp_path, rows):
    table = pd.DataFrame(
        {
            "image": range(len(rows)),
            "label": 0,
            "subject": [row[0] for row in rows],
            "clip": [row[1] for row in rows],
            "split": "train",
            "age": [float(f"{row[2]:.9g}") for row in rows],
        }
    )
    written = check_samples(table, ["a"], len(rows), "x")
    (tmp_path / "samples.csv").write_bytes(samples_csv(written))
    read = read_samples(tmp_path / "samples.csv", ["a"], len(rows))
    for name in ("subject", "clip"):
        assert read[name].tolist() == table[name].tolist()
    assert read["age"].tolist() == table["age"].tolist()


@given(st.integers(0, 2**32), st.integers(1, 256))
@settings(QUICK, max_examples=8)
def test_pixels_are_read_alike_fast_and_carefully(seed, below):
    pixels = np.random.default_rng(seed).integers(0, below, SIDE * SIDE).tolist()
    text = " ".join(map(str, pixels))
    assert fast_pixels(text).tolist() == careful_pixels(text, "x").tolist() == pixels


@given(
    st.lists(st.integers(0, 999).map(str) | WORDS, min_size=1, max_size=4), st.integers(0, SIDE * SIDE - 1)
)
@QUICK
def test_the_fast_reader_of_pixels_takes_nothing_the_careful_one_refuses(tokens, at):
    words = ["7"] * SIDE * SIDE
    words[at : at + len(tokens)] = tokens
    text = " ".join(words)
    fast = fast_pixels(text)
    try:
        careful = careful_pixels(text, "x")
    except UserError:
        assert fast is None
    else:
        assert fast is None or fast.tolist() == careful.tolist()


@given(st.text())
@QUICK
def test_no_text_of_a_csv_is_computed_and_numbers_stay(text):
    shown = harmless(text)
    assert shown.lstrip()[:1] not in ("=", "+", "-", "@") or [float(one) for one in shown.split()]
    assert (
        next(csv.reader(io.StringIO(f'"{shown.replace(chr(34), chr(34) * 2)}"', newline="")), [""])[0]
        == shown
    )


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.integers(100, 199), st.booleans(), NUMBERS), min_size=1, max_size=9
    )
)
@QUICK
def test_scores_of_pairs_come_back_to_the_last_bit_of_float32(tmp_path, rows):
    table = pd.DataFrame(rows, columns=["first", "second", "same", "score"])
    table = table.assign(
        list="test", fold=0, same=table["same"].astype(int), score=table["score"].astype(np.float32)
    )
    write_pair_scores(tmp_path / "pairs.csv", table)
    read = read_pair_scores(tmp_path / "pairs.csv")
    assert read["score"].astype(np.float32).tolist() == table["score"].tolist()
    assert (
        read[["first", "second", "same"]].to_numpy().tolist()
        == table[["first", "second", "same"]].to_numpy().tolist()
    )


# Protocols


@given(
    st.sets(st.text(string.ascii_letters, min_size=1, max_size=4), min_size=10, max_size=60),
    st.integers(3, 10),
)
@QUICK
def test_every_subject_is_tested_once_and_folds_differ_by_one(subjects, count):
    folds = subject_folds(subjects, count)
    assert set(folds) == subjects
    sizes = [list(folds.values()).count(fold) for fold in range(1, count + 1)]
    assert max(sizes) - min(sizes) <= 1
    assert subject_folds(sorted(subjects, reverse=True), count) == folds  # the order says nothing


@given(st.lists(st.integers(0, 14), min_size=30, max_size=80).filter(lambda who: len(set(who)) >= 10))
@QUICK
def test_in_every_turn_nobody_stands_in_two_parts_and_all_are_tested_once(who):
    subjects = [f"S{number:03}" for number in who]
    folds = subject_folds(subjects)
    table = pd.DataFrame({"subject": subjects, "fold": [folds[name] for name in subjects], "split": ""})
    tested = []
    for fold in range(1, 11):
        turn = fold_split(table, fold)
        assert (turn.groupby("subject")["split"].nunique() == 1).all()
        assert set(turn["split"]) == {"train", "val", "test"}
        tested += turn.index[turn["split"] == "test"].tolist()
    assert sorted(tested) == list(range(len(who)))


@given(st.integers(2, 6), st.integers(2, 5), st.randoms(use_true_random=False))
@QUICK
def test_a_list_of_pairs_is_read_as_it_was_written(tmp_path, people, images, random):
    names = [(f"P{person}", number) for person in range(people) for number in range(1, images + 1)]
    samples = pd.DataFrame(
        {
            "subject": [name for name, _ in names],
            "number": [number for _, number in names],
            "file": [f"{name}/{number}.png" for name, number in names],
        }
    )
    same = [(f"P{person}", 1, f"P{person}", 2) for person in range(people)]
    different = [(f"P{person}", 1, f"P{(person + 1) % people}", 1) for person in range(people)]
    drawn = same + different
    random.shuffle(drawn)
    lines = ["first,second,same,fold"]
    lines += [f"{a}/{i}.png,{b}/{j}.png,{int(a == b)},{1 + n % 2}" for n, (a, i, b, j) in enumerate(drawn)]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    read = read_pairs(tmp_path / "pairs.csv", "mine", samples)
    rows = {name: row for row, name in enumerate(names)}
    assert read["first"].tolist() == [rows[a, i] for a, i, _, _ in drawn]
    assert read["second"].tolist() == [rows[b, j] for _, _, b, j in drawn]
    assert read["same"].tolist() == [int(a == b) for a, _, b, _ in drawn]
    assert pd.read_csv(io.BytesIO(pairs_csv(read))).equals(read.astype({"list": "str"})[list(read.columns)])


# Statistics


@given(
    st.lists(st.lists(st.floats(-700, 700), min_size=3, max_size=3), min_size=1, max_size=6),
    st.floats(-100, 100),
)
@QUICK
def test_softmax_is_scipys_and_does_not_feel_a_shift(rows, shift):
    logits = np.array(rows)
    assert softmax(logits) == pytest.approx(scipy.special.softmax(logits, axis=1), abs=1e-12)
    assert softmax(logits + shift) == pytest.approx(softmax(logits), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9), st.floats(0.6, 0.99))
@QUICK
def test_the_interval_over_few_seeds_is_scipys_and_widens_with_its_confidence(values, confidence):
    found = seed_interval(values, confidence, 10)
    spread = scipy.stats.sem(values)
    if spread > 1e-9:
        low, high = scipy.stats.t.interval(confidence, len(values) - 1, np.mean(values), spread)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-12)
    assert found.low <= found.value <= found.high
    wider = seed_interval(values, confidence + 0.005, 10)
    assert wider.high - wider.low >= found.high - found.low
    turned = seed_interval(values[::-1], confidence, 10)
    assert (turned.low, turned.high) == pytest.approx((found.low, found.high), abs=1e-12)


@given(st.lists(st.booleans(), min_size=2, max_size=60), st.integers(0, 99))
@QUICK
def test_an_interval_over_samples_holds_its_value_and_stays_within_0_and_1(hits, seed):
    correct = np.array(hits, float)
    found = sample_interval(correct, 0.9, 50, seed=seed)
    assert found.value == pytest.approx(np.mean(hits))
    assert 0 <= found.low <= found.high <= 1
    mirrored = sample_interval(1 - correct, 0.9, 50, seed=seed)  # errors and hits are one thing
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high), abs=1e-12)
    if len(set(hits)) == 1:
        assert (found.low, found.high) == (found.value, found.value)


@given(
    st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=8), st.randoms(use_true_random=False)
)
@QUICK
def test_holms_correction_is_that_of_the_paper_in_any_order(values, random):
    tested = sorted(value for value in values if not math.isnan(value))
    steps = [min(1.0, value * (len(tested) - rank)) for rank, value in enumerate(tested)]
    expected = {value: max(steps[: rank + 1]) for rank, value in enumerate(tested)}
    shuffled = random.sample(values, len(values))
    for value, found in zip(shuffled, holm(shuffled), strict=True):
        assert math.isnan(found) if math.isnan(value) else value <= found <= 1
    found = dict(zip(shuffled, holm(shuffled), strict=True))
    if len(set(tested)) == len(tested):
        assert all(found[value] == pytest.approx(expected[value]) for value in tested)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
@QUICK
def test_mcnemars_tests_are_even_handed_and_ordered(pairs):
    first, second = np.array(pairs).T
    exact, mid = mcnemar_exact(first, second), mcnemar_mid(first, second)
    assert exact == mcnemar_exact(second, first)
    assert mid == mcnemar_mid(second, first)
    assert 0 < mid <= exact <= 1 or mid == exact == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=50))
@QUICK
def test_the_numbers_of_a_classification_are_sklearns(pairs):
    targets, predicted = np.array(pairs).T
    probabilities = np.full((len(pairs), 3), 0.2)
    probabilities[np.arange(len(pairs)), predicted] = 0.6
    found = classification_metrics(targets, probabilities)
    assert found["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(targets, predicted))
    recalls = sklearn.metrics.recall_score(targets, predicted, average=None, labels=np.unique(targets))
    assert found["mean_class_accuracy"] == pytest.approx(recalls.mean())
    assert found["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(targets, predicted, average="macro"))
    loss = sklearn.metrics.log_loss(targets, probabilities, labels=[0, 1, 2])
    assert found["negative_log_likelihood"] == pytest.approx(loss)
    turned = classification_metrics(targets[::-1], probabilities[::-1])
    assert {name: pytest.approx(value) for name, value in found.items()} == turned


@given(
    st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=4, max_size=40).filter(
        lambda pairs: len({same for _, same in pairs}) == 2
    )
)
@QUICK
def test_the_area_under_the_curve_is_sklearns_whatever_the_order(pairs):
    scores, same = np.array([score for score, _ in pairs]) / 20, np.array([int(same) for _, same in pairs])
    curve = roc(scores, same)
    assert auc(curve) == pytest.approx(sklearn.metrics.roc_auc_score(same, scores), abs=1e-12)
    assert auc(roc(-scores, 1 - same)) == pytest.approx(auc(curve), abs=1e-12)
    assert 0 <= equal_error_rate(curve) <= 1
    turned = roc(scores[::-1], same[::-1])
    assert turned.far.tolist() == curve.far.tolist()
    assert turned.tar.tolist() == curve.tar.tolist()


# Configuration


@given(st.integers(1, 10**6), st.floats(1e-9, 1e3), st.booleans())
@settings(QUICK, max_examples=5)
def test_a_setting_arrives_as_it_was_given(epochs, rate, flag):
    pairs = [
        f"recipe.epochs={epochs}",
        f"recipe.optimiser.lr={rate!r}",
        f"runtime.compile={str(flag).lower()}",
    ]
    config = resolve(parse_pairs(pairs, "-s"))
    assert (config.recipe.epochs, config.recipe.optimiser.lr, config.runtime.compile) == (epochs, rate, flag)
    assert json.loads(config.as_json())["recipe"]["epochs"] == epochs


@given(
    st.sampled_from(
        ["recipe.epochs", "recipe.optimiser.lr", "runtime.compile", "data.folds", "evaluation.confidence"]
    ),
    JSON,
)
@settings(QUICK, max_examples=12)
def test_any_value_of_a_setting_is_taken_or_told_of(key, value):
    config, said = attempt(resolve, {key: value})
    if config is None:
        assert key.rpartition(".")[2] in said
        return
    section, *names = key.split(".")
    found = json.loads(config.as_json())[section]
    for name in names:
        found = found[name]
    assert found == value


@given(st.lists(st.text(string.ascii_lowercase + "._", min_size=1, max_size=9), min_size=1, max_size=3))
@settings(QUICK, max_examples=6)
def test_an_unknown_setting_is_told_of(names):
    key = ".".join(names)
    with pytest.raises(UserError):
        resolve({f"recipe.{key}x": 1})
