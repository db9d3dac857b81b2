"""The chain from a number to its ground names files, lines and digests that are really there."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from fer_repro.config import load_config
from fer_repro.errors import UserError
from fer_repro.pipeline import why as chains
from fer_repro.pipeline.staleness import changed_recipe, stale_record, stale_stages
from fer_repro.pipeline.why import print_chain, print_chains, why
from fer_repro.stage_code import RUN, code_digests

ROOT = Path(__file__).parents[2]
RECORD = "long-synthetic-rmn"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Copy the project's results; DVC, which takes seconds, is not asked."""
    for name in ("results", "params.yaml", "dvc.lock"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chains, "outdated_stages", list)
    return tmp_path


def lines(text):
    """Read ``file: lines 2-4, 9`` back."""
    file, _, numbers = text.partition(": lines ")
    found = []
    for part in numbers.split(", "):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return Path(file), found


def test_every_tested_claim_leads_to_lines_that_hold_its_number(project):
    ledger = pd.read_csv("results/comparison/ledger.csv", keep_default_na=False)
    tested = ledger[ledger["verdict"] != "not attempted"]
    assert len(tested) > 20
    for claim, rows in tested.groupby("claim"):
        for chain, (_, row) in zip(why(claim), rows.iterrows(), strict=True):
            assert chain["rows"][0].startswith(
                f"results/records/{row['record']}" if row["record"] else "results/measured"
            )
            file, numbers = lines(chain["rows"][0])
            table = pd.read_csv(file, keep_default_na=False).iloc[[number - 2 for number in numbers]]
            means = table[(table["seed"].astype(str) == "") & (table["arm"] == row["arm"])]
            scale = 100 if (means["unit"] == "fraction").any() else 1
            assert (means["value"].astype(float) * scale - float(row["measured"])).abs().min() < 1e-3, claim
            assert set(chain) >= {"claim", "paper", "verdict", "rule", "recipe", "data", "commit", "again"}


def test_what_a_record_was_made_with_is_compared_with_today(project):
    file = project / "results/records" / RECORD / "record.json"
    record = json.loads(file.read_text())
    record["code_sha256"]["methods/rmn.py"] = "0" * 64
    record["code_sha256"]["methods/gone.py"] = "1" * 64
    record["recipe"]["epochs"] = 7
    found = list(stale_record(record))
    assert "code: fer_repro/methods/rmn.py has changed" in found
    assert "code: fer_repro/methods/gone.py is gone" in found
    (changed,) = [line for line in found if "epochs" in line]
    assert changed.startswith("parameters: params.yaml: rmn, long: epochs was 7, is ")
    half = record | {"half_epochs": True}
    assert not [line for line in stale_record(half) if "epochs" in line]


def test_a_new_key_of_recipes_has_its_default_in_old_runs(project):
    recipe = json.loads((project / "results/records" / RECORD / "record.json").read_text())["recipe"]
    same = list(changed_recipe(recipe, "rmn", "synthetic", "masked", "long"))
    del recipe["clip_norm"]
    assert list(changed_recipe(recipe, "rmn", "synthetic", "masked", "long")) == same
    (gone,) = changed_recipe(recipe, "rmn", "synthetic", "masked", "lnog")
    assert "long" in gone


def test_stages_of_another_method_are_not_counted(project):
    outdated = [
        "train-faces@synthetic-ran-0: inputs/code/train-ran.json modified",
        "prepare@synthetic_clips: data modified",
    ]
    assert not list(stale_stages(outdated, "synthetic", "rmn"))
    assert list(stale_stages(["unknown: no dvc"], "synthetic", "rmn")) == ["unknown: no dvc"]


def test_a_run_is_stale_as_soon_as_a_key_or_a_file_changes(project, monkeypatch):
    """Though DVC compares them only after its stage ``inputs``; and the recipe told is the run's own."""
    folder = project / "runs/synthetic/rmn/0/masked"
    folder.mkdir(parents=True)
    config = load_config("params.yaml", "rmn", "synthetic", "masked", 0)
    (folder / "config.json").write_text(config.as_json({}, "expression"))
    code = project / "inputs/code/train-rmn.json"
    code.parent.mkdir(parents=True)
    digests = code_digests(RUN, "rmn")
    code.write_text(json.dumps(digests))
    assert why("synthetic/rmn/0/masked")[0]["stale"] == ["no"]
    params = Path("params.yaml")
    text = params.read_text()
    params.write_text(text.replace("epochs: 6               # budget\n", "epochs: 7\n", 1))
    code.write_text(json.dumps(digests | {"methods/rmn.py": "0" * 64}))
    told = ["train-faces@synthetic-rmn-0: inputs/recipes/synthetic/rmn.json modified", "prepare@synthetic: x"]
    monkeypatch.setattr(chains, "outdated_stages", lambda: told)
    (chain,) = why("synthetic/rmn/0/masked")
    assert chain["stale"][:2] == [
        "parameters: params.yaml: rmn, synthetic: epochs was 6, is 7",
        "code: fer_repro/methods/rmn.py has changed",
    ]
    assert "prepare@synthetic: x" in chain["stale"]
    assert not [line for line in chain["stale"] if "inputs/recipes" in line]
    assert "6 epochs" in chain["recipe"]


def test_seeds_of_one_stage_are_told_once(project):
    lines = [f"train-faces@synthetic-rmn-{seed}: runtime.threads" for seed in range(3)]
    found = list(stale_stages(lines, "synthetic", "rmn"))
    assert found[0] == "train-faces@synthetic-rmn, seeds 0, 1, 2: runtime.threads"


def test_what_is_stale_is_told_once_for_several_chains():
    stale = {"stale": ["code: a", "code: b"]}
    text = print_chains([{"rows": "1"} | stale, {"rows": "2"} | stale, {"rows": "3", "stale": ["no"]}])
    assert text.count("code: a") == 1
    assert "stale  as above, number 1" in text
    long = print_chain({"stale": [f"code: {n}" for n in range(23)]}).splitlines()
    assert (len(long), long[-1].strip()) == (9, "and 15 more: --json has all")


def test_a_number_is_found_as_it_is_printed(project):
    rows = pd.read_csv("results/records/full-synthetic-ran/rows.csv", keep_default_na=False)
    row = rows[(rows["seed"].astype(str) == "") & (rows["unit"] == "%")].iloc[0]
    shown = f"{float(row['value']):.4f}"
    places = [chain["rows"] for chain in why(f"{shown} %")]
    assert any("full-synthetic-ran/rows.csv" in str(place) for place in places)
    assert why("+" + shown) == why(shown)
    (published, *_) = [chain for chain in why("74.14") if "published" in chain["number"]]
    assert "results/published/results.csv: line" in published["rows"]
    with pytest.raises(UserError, match=r"no number .* is printed as '12345.678'"):
        why("12345.678")


def test_a_run_leads_to_its_claims_and_rows(project):
    config = {
        "dataset": "synthetic", "method": "rmn", "arm": "masked", "seed": 0, "recipe_name": "synthetic",
        "recipe": {"note": "6 epochs"}, "data_sha256": {"images": "ab" * 32},
    }  # fmt: skip
    for root in ("runs", "scratch/runs"):
        folder = project / root / "synthetic/rmn/0/masked"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
    (chain,) = why("synthetic/rmn/0/masked")
    assert chain["run"] == "runs/synthetic/rmn/0/masked: masked of rmn on synthetic, seed 0"
    assert chain["data"] == "synthetic: images abababab"
    assert chain["rows"].startswith("results/measured/synthetic/rmn/rows.csv: lines ")
    (own,) = why("scratch/runs/synthetic/rmn/0/masked")
    assert chain["claims"] == ["none rests on it: better grounded is long-synthetic-rmn"]
    assert own["again"] == ["fer-repro train rmn synthetic --seed 0 --recipe synthetic"]
    assert any("parameters: params.yaml: rmn, synthetic: " in line for line in own["stale"])
    with pytest.raises(UserError, match="did you mean 'synthetic/rmn/0/masked'"):
        why("synthetic/rmn/0/maskde")


def test_a_claim_without_runs_tells_how_to_get_its_data(project):
    ledger = pd.read_csv("results/comparison/ledger.csv", keep_default_na=False)
    none = ledger.groupby("claim")["verdict"].agg(set).map(lambda found: found == {"not attempted"})
    chain = why(none.index[none][0])[0]
    assert (chain["verdict"], set(chain) & {"rows", "again"}) == ("not attempted", set())
    assert chain["data"]


def test_an_unknown_name_is_told_the_nearest(project):
    with pytest.raises(UserError, match=r"'rmn-mask' is no claim.*did you mean 'rmn-masks'"):
        why("rmn-mask")


def test_a_chain_is_laid_out_in_two_columns():
    text = print_chain({"claim": "a", "stale": ["code", "data"], "rows": []})
    assert text.splitlines() == ["claim  a", "stale  code", "       data", "rows   nothing"]
