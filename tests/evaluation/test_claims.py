from pathlib import Path

import pytest
import yaml

from fer_repro.config import paper_recipe
from fer_repro.errors import UserError
from fer_repro.evaluation.claims import Conditions, published_table, read_claims
from fer_repro.files import read_yaml
from fer_repro.measures.metrics import METRICS
from fer_repro.methods.method import load_method, method_names

FOLDER = Path(__file__).parents[2] / "results/published"
PARAMS = FOLDER.parents[1] / "params.yaml"
FREE = {"fer2013", "ferplus", "lfw"}


@pytest.fixture(scope="module")
def claims():
    return read_claims(FOLDER / "claims.yaml")


@pytest.fixture(scope="module")
def results():
    return published_table(FOLDER / "results.csv")


def rows_of(results, method, arm, place):
    return results[
        (results["method"] == method)
        & (results["arm"] == arm)
        & (results["dataset"] == place.dataset)
        & (results["protocol"] == place.protocol)
        & (results["split"] == place.split)
        & (results["metric"] == place.metric)
    ]


def published_value(results, method, arm, place):
    rows = rows_of(results, method, arm, place)
    return rows["value"].iloc[0] if len(rows) else None


def test_every_size_is_the_difference_of_published_numbers(claims, results):
    seen = 0
    for claim in claims.claims:
        for one in claim.where:
            values = {
                arm: published_value(results, claim.method, arm, one.place)
                for arm in (claim.arm, *claim.against)
            }
            if one.size is None:
                continue
            assert None not in values.values(), (claim.id, one.place, values)
            ours, rivals = values[claim.arm], [values[arm] for arm in claim.against]
            if claim.kind == "absolute":
                expected = ours
            elif one.place.metric.endswith("log_loss"):
                expected = min(rivals) - ours
            else:
                expected = ours - max(rivals)
            assert one.size.value == pytest.approx(expected, abs=1e-6), (claim.id, one.place)
            seen += 1
    assert seen >= 30


def test_a_size_is_null_only_where_no_table_has_both_numbers(claims, results):
    """But for an independent reproduction, and an image at odds with what is recalled of the table."""
    known = {}
    for claim in claims.claims:
        for one in claim.where:
            assert bool(one.unverified) == (one.size is None)
            if one.size is None:
                arms = [rows_of(results, claim.method, arm, one.place) for arm in (claim.arm, *claim.against)]
                tables = set.intersection(*(set(rows["table"]) for rows in arms))
                if tables:
                    known[claim.id, one.place.dataset] = tables
    assert known == {
        ("adacos-untuned", "lfw"): {"README FaceX-Zoo"},
        ("ran-occlusion", "affectnet"): {"README matrices"},
    }


def test_the_claims_the_project_was_asked_for(claims):
    by_id = {claim.id: claim for claim in claims.claims}
    assert set(method_names()) == {claim.method for claim in claims.claims}
    sizes = {
        (claim.id, one.place.dataset): one.size.value
        for claim in claims.claims
        for one in claim.where
        if one.size
    }
    assert sizes["rmn-masks", "fer2013"] == 1.72
    assert sizes["fan-relation-over-fusion", "ckplus"] == 4.89
    assert sizes["fan-relation-over-fusion", "afew"] == 2.36
    assert sizes["rmn-accuracy", "fer2013"] == 74.14
    assert sizes["fan-accuracy", "ckplus"] == 99.69
    assert sizes["ensemble-frame-auc", "ffpp_c23"] > 0 > sizes["ensemble-video-auc", "dfdc"]
    assert sizes["ensemble-frame-log-loss", "dfdc"] > 0 > sizes["ensemble-video-log-loss", "dfdc"]
    assert by_id["adacos-untuned"].kind == "non_inferiority"
    assert by_id["adacos-untuned"].against == ("cosface", "arcface")
    assert all(one.size is None for one in by_id["adacos-untuned"].where)
    protocols = {
        by_id[name].where[0].place.protocol for name in ("ran-occlusion", "ran-pose-30", "ran-pose-45")
    }
    assert protocols == {"occlusion", "pose_30", "pose_45"}


def test_every_method_but_in_absolute_claims_has_a_free_place(claims):
    for claim in claims.claims:
        if claim.kind != "absolute":
            places = {place.dataset for place in claim.stand_ins} | {one.place.dataset for one in claim.where}
            assert any(name.startswith("synthetic") for name in places), claim.id
        assert all(claims.data_sets[one.place.dataset].access for one in claim.where)
    assert all(
        ("free:" in claims.data_sets[name].access) == (name in FREE)
        for name in FREE | {"afew", "vemo", "ijbc"}
    )


def test_headline_against_control_is_among_the_claims(claims):
    for name in method_names():
        method = load_method(name)
        pairs = {
            (claim.arm, rival) for claim in claims.claims if claim.method == name for rival in claim.against
        }
        if name != "efficientnet":  # its paper claims the ensemble
            assert (method.headline, method.control) in pairs


def test_tolerances_of_accuracies_are_one_standard_error(claims):
    counts = {
        "fer2013": 3589, "vemo": 5436, "ckplus": 327, "afew": 381, "ferplus": 3137, "rafdb": 3068,
        "affectnet": 4000, "sfew": 436,
    }  # fmt: skip
    for claim in claims.claims:
        if claim.kind != "absolute":
            continue
        for one in claim.where:
            if one.place.dataset in counts:
                share = one.size.value / 100
                error = 100 * (share * (1 - share) / counts[one.place.dataset]) ** 0.5
                assert one.size.tolerance == pytest.approx(error, abs=0.006), (claim.id, one.place.dataset)


# Mistakes


def edited(tmp_path, change):
    sections = read_yaml(FOLDER / "claims.yaml")
    change(sections)
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False))
    return path


MISTAKES = {
    "a word more": (
        lambda s: s.update(claim=[]),
        r"claims.yaml: unknown key 'claim'; did you mean 'claims'\?",
    ),
    "no data": (lambda s: s.pop("data_sets"), r"claims.yaml: key 'data_sets' is missing"),
    "key": (lambda s: s["claims"][0].update(rival="x"), r"claim 'rmn-masks': unknown key 'rival'"),
    "method": (
        lambda s: s["claims"][0].update(method="rnm"),
        r"claim 'rmn-masks': method: unknown 'rnm'; did you mean 'rmn'\?",
    ),
    "arm": (
        lambda s: s["claims"][0].update(against=["nomask"]),
        r"claim 'rmn-masks': arm of rmn: unknown 'nomask'; did you mean 'no_mask'\?",
    ),
    "kind": (lambda s: s["claims"][0].update(kind="better"), r"claim 'rmn-masks': kind is 'better'"),
    "twice": (lambda s: s["claims"][1].update(id="rmn-masks"), r"claim 2: the id 'rmn-masks' is taken"),
    "data set": (
        lambda s: s["claims"][0]["where"][0].update(dataset="fer13"),
        r"claim 'rmn-masks': data set: unknown 'fer13'; did you mean 'fer2013'\?",
    ),
    "metric": (
        lambda s: s["claims"][0]["where"][0].update(metric="acuracy"),
        r"claim 'rmn-masks': metric: unknown metric 'acuracy'; did you mean 'accuracy'\?",
    ),
    "stand-in": (
        lambda s: s["claims"][0]["stand_ins"][0].update(dataset="vemo"),
        r"claim 'rmn-masks': stand-in: unknown 'vemo'",
    ),
    "place": (
        lambda s: s["claims"][0]["where"][0].update(splits="test"),
        r"claim 'rmn-masks': where\[0\]: unknown key 'splits'; did you mean 'split'\?",
    ),
    "no delta": (
        lambda s: s["claims"][0]["where"][0].pop("delta"),
        r"claim 'rmn-masks': where\[0\]: key 'delta' is missing",
    ),
    "null without reason": (
        lambda s: s["claims"][0]["where"][0].update(delta=None),
        r"where\[0\]: delta is null: expected a number, or under 'unverified' why",
    ),
    "reason beside a number": (
        lambda s: s["claims"][0]["where"][0].update(unverified="recalled"),
        r"where\[0\]: 'unverified' and a delta are both given",
    ),
    "unit": (
        lambda s: s["claims"][0]["where"][0]["delta"].update(unit="%"),
        r"claim 'rmn-masks': the unit of accuracy is '%': expected 'points'",
    ),
    "size": (
        lambda s: s["claims"][0]["where"][0]["delta"].update(value="1.7 points"),
        r"where\[0\]: delta: value is",
    ),
    "tolerance": (
        lambda s: s["claims"][0]["where"][0]["delta"].pop("tolerance"),
        r"key 'tolerance' is missing",
    ),
    "margin": (
        lambda s: s["claims"][0].update(margin=1.0),
        r"claim 'rmn-masks': margin is 1.0: expected null",
    ),
    "no rival": (
        lambda s: s["claims"][0].update(against=[]),
        r"against is \[\]: expected at least one rival",
    ),
    "a stand-in for a value": (
        lambda s: s["claims"][1].update(stand_ins=s["claims"][0]["stand_ins"]),
        r"claim 'rmn-accuracy': a number to reach has no stand_ins",
    ),
    "where": (
        lambda s: s["claims"][0].update(where="fer2013"),
        r"where is 'fer2013': expected a list of places",
    ),
    "text": (lambda s: s["claims"].__setitem__(0, "masks help"), r"claim 1: expected a mapping of keys"),
    "claims as a mapping": (lambda s: s.update(claims={}), r"claims.yaml: claims is \{\}: expected a list$"),
    "conditions as a list": (
        lambda s: s.update(conditions=[]),
        r"conditions is \[\]: expected a mapping of names$",
    ),
    "no stand-ins": (
        lambda s: s["claims"][0].pop("stand_ins"),
        r"'rmn-masks': stand_ins is None: expected a list",
    ),
    "metric of a stand-in": (
        lambda s: s["claims"][0]["stand_ins"][0].update(metric="acuracy"),
        r"claim 'rmn-masks': metric: unknown metric 'acuracy'; did you mean 'accuracy'\?",
    ),
    "method of conditions": (
        lambda s: s["conditions"].update(rnm=s["conditions"]["rmn"]),
        r"claims.yaml: conditions: unknown 'rnm'; did you mean 'rmn'\?",
    ),
    "a condition": (
        lambda s: s["conditions"]["rmn"].update(recipes={}),
        r"conditions.rmn: unknown key 'recipes'; did you mean 'recipe'\?",
    ),
    "words": (lambda s: s["data_sets"]["fer2013"].pop("words"), r"data_sets.fer2013: key 'words' is missing"),
    "a rival for a value": (
        lambda s: s["claims"][1].update(against=["no_mask"]),
        r"against is \['no_mask'\]: expected no rivals for kind absolute",
    ),
    "an empty reason": (
        lambda s: s["claims"][0]["where"][0].update(delta=None, unverified=""),
        r"where\[0\]: delta is null: expected a number",
    ),
    "no reason for a value": (
        lambda s: s["claims"][1]["where"][0].update(target=None, unverified="recalled"),
        r"where\[0\]: target is null: expected a number",
    ),
    "no margin": (
        lambda s: s["claims"][0].update(kind="non_inferiority", margin=0.0),
        r"margin is 0.0: expected a number above 0 for kind non_inferiority",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_file_claim_and_nearest_choice(tmp_path, mistake):
    change, message = MISTAKES[mistake]
    path = edited(tmp_path, change)
    with pytest.raises(UserError, match=message) as message:
        read_claims(path)
    assert str(path) in str(message.value)


def test_every_claims_paper_has_a_recipe_to_compare_with(claims):
    for method in {claim.method for claim in claims.claims}:
        paper = paper_recipe(PARAMS, method)
        known = claims.conditions.get(method, Conditions()).recipe.keys()
        assert (paper is None) == bool({"model.width", "model.pairs"} & known)  # of a network; of a solution
    assert all((claim.margin > 0) == (claim.kind == "non_inferiority") for claim in claims.claims)


def test_the_table_of_published_numbers(results, tmp_path):
    assert len(results) >= 358
    assert results["value"].dtype == float
    assert set(METRICS) >= {"accuracy", "frame_auc", "video_log_loss"}
    (tmp_path / "results.csv").write_text("method,value\nrmn,74.14\nfan,ninety\n")
    with pytest.raises(UserError, match=r"results.csv: row 2: value is 'ninety': expected a number"):
        published_table(tmp_path / "results.csv")
    with pytest.raises(UserError, match="no such file"):
        published_table(tmp_path / "none.csv")
    (tmp_path / "results.csv").write_text("method,value\nNA,74.14\n,1e1\n")
    table = published_table(tmp_path / "results.csv")
    assert table["method"].tolist() == ["NA", ""]
    assert table["value"].tolist() == [74.14, 10.0]
    (tmp_path / "results.csv").write_text("method,valu\nrmn,74.14\n")
    with pytest.raises(UserError, match="column 'value' is missing; did you mean 'valu'"):
        published_table(tmp_path / "results.csv")
    for text in (b"", b"a,b\n1,2\n1,2,3\n", b"method,value\n\xff,1\n"):
        (tmp_path / "results.csv").write_bytes(text)
        with pytest.raises(UserError, match=r"results\.csv: not readable as CSV: "):
            published_table(tmp_path / "results.csv")
