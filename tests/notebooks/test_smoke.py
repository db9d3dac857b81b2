"""Every notebook through papermill, on forty-two synthetic faces; then the page of it all."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from small_pipeline import pipeline_of

from fer_repro.evaluation.claims import read_claims
from fer_repro.evaluation.finished import gather_evidence
from fer_repro.evaluation.ledger import judge
from fer_repro.files import read_yaml
from fer_repro.methods.method import method_names
from fer_repro.synthetic.stills import write_stills

ROOT = Path(__file__).parents[2]
SEEDS = (0, 1)
FORMATS = ("csv", "md")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tell):
    """A folder with everything the stages make."""
    patch = pytest.MonkeyPatch()
    patch.chdir(ROOT)
    home = tmp_path_factory.mktemp("project")
    write_stills(home / "data/synthetic", subjects={"train": 4, "val": 1, "test": 1}, faces_per_class=1)
    for name in ("results/published", "results/records"):
        shutil.copytree(ROOT / name, home / name)
    params = read_yaml(ROOT / "params.yaml")
    params["pipeline"] = pipeline_of("faces", ["rmn"], synthetic="data/synthetic/manifest.json")
    params["seeds"], params["further_seeds"] = list(SEEDS), list(SEEDS)
    params["evaluation"]["bootstrap"] = 50
    (home / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    places = {name: str(home / name) for name in ("prepared", "runs")}
    places |= {name: str(home / "results" / name) for name in ("measured", "comparison")}
    file, executed = str(home / "params.yaml"), home / "executed"
    tell(
        "data",
        {"manifest": str(home / "data/synthetic/manifest.json"), "out": f"{places['prepared']}/synthetic"},
        executed / "data-synthetic.ipynb",
    )
    for seed in SEEDS:
        given = {
            "params_file": file,
            "seed": seed,
            "smoke": True,
            "prepared": places["prepared"],
            "out": places["runs"],
        }
        tell("train", given, executed / f"train-synthetic-rmn-{seed}.ipynb")
    given = {
        "params_file": file,
        "runs": places["runs"],
        "prepared": places["prepared"],
        "out": places["measured"],
    }
    tell("rmn", given, executed / "rmn-synthetic.ipynb")
    given = {"params_file": file} | {name: places[name] for name in ("runs", "prepared")}
    given["results"] = places["measured"]
    given["out"] = places["comparison"]
    tell("comparison", given, executed / "comparison.ipynb")
    yield home
    patch.undo()


def test_every_stage_leaves_its_files(finished):
    for name in ("samples.csv", "manifest.json", "audit.json"):
        assert (finished / "prepared/synthetic" / name).is_file()
    for name in ("rows.csv", "metrics.json", "curves.csv", "confusion.csv"):
        assert (finished / "results/measured/synthetic/rmn" / name).is_file()
    names = {path.name for path in (finished / "results/comparison").iterdir()}
    tables = {f"{name}.{kind}" for name in ("ledger", "table", "cost", "common_ground") for kind in FORMATS}
    assert tables <= names
    assert {path.name for path in (finished / "results/comparison/tables").iterdir()} == {
        f"{method}.{kind}" for method in method_names() for kind in FORMATS
    }


def test_own_runs_are_judged_with_as_many_seeds_as_were_trained(finished):
    places = [finished / name for name in ("params.yaml", "runs", "prepared")]
    judged = judge(read_claims(), gather_evidence(*places), 0.95)
    (claim,) = judged[(judged["claim"] == "rmn-masks") & (judged["verdict"] != "not attempted")].to_dict(
        "records"
    )
    assert (claim["seeds"], claim["verdict"]) == (len(SEEDS), "inconclusive")
    assert "a smoke run" in claim["condition"]
    rows = pd.read_csv(finished / "results/measured/synthetic/rmn/rows.csv").query(
        "metric == 'accuracy' and tta != 'none' and protocol == 'official' and seed >= 0"
    )
    means = rows.groupby("arm")["value"].mean()
    assert claim["difference"] == pytest.approx(means["masked"] - means["no_mask"], abs=1e-5)


def test_records_lead_where_they_are_better_grounded(finished):
    ledger = pd.read_csv(finished / "results/comparison/ledger.csv")
    tested = ledger[ledger["verdict"] != "not attempted"]
    kept = pd.concat(map(pd.read_csv, (ROOT / "results/records").glob("*/ledger.csv")))
    place = ["claim", "dataset", "protocol", "metric"]
    most = tested.merge(kept.groupby(place, as_index=False)["seeds"].max(), on=place, suffixes=("", "_kept"))
    assert len(most) == len(tested)  # two seeds of a smoke run are never the best
    assert (most["seeds"] == most["seeds_kept"]).all()


def test_the_story_shows_its_figures(finished):
    text = (finished / "executed/rmn-synthetic.ipynb").read_text(encoding="utf-8")
    assert text.count("<figure class=") == 15
    assert "Traceback" not in text


def test_the_page_holds_it_all(finished):
    from fer_repro.report.html import write_report

    size = write_report(finished, finished / "reports/index.html")
    page = (finished / "reports/index.html").read_text(encoding="utf-8")
    assert size < 15_000_000
    assert "still missing" not in page
    assert "Residual Masking Network" in page
    assert not re.search(r'(src|href)="(?!data:|#|https?://)', page)
    assert not re.search(r'src="https?:', page)
