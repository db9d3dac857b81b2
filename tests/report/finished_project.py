"""A finished project, small, whose class names and notebooks try to do harm."""

import json

import nbformat
import numpy as np
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from fer_repro.figures.display import show_figure, show_table
from fer_repro.figures.results import contact_sheet

NOTE = "synthetic faces, width 1/8"
PIXEL = (  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ACCURACIES = {"masked": (81.0, 80.0, 82.0), "no_mask": (80.0, 80.5, 79.5)}


def result_rows(dataset="synthetic", tta="none", metric="accuracy"):
    """Rows of single seeds, then of their means, as the evaluation writes them."""
    rows = pd.DataFrame(
        [
            {
                "method": "rmn", "arm": arm, "paper": "2603.05937", "table": "", "dataset": dataset,
                "protocol": "official", "split": "test", "metric": metric, "unit": "%", "value": value,
                "pretraining": "none", "tta": tta, "source": "", "note": NOTE, "seed": str(seed),
                "deviation": np.nan, "runs": 1, "low": np.nan, "high": np.nan,
            }
            for arm, values in ACCURACIES.items()
            for seed, value in enumerate(values)
        ]
    )  # fmt: skip
    means = rows.drop_duplicates("arm").assign(seed="", value=[81.0, 80.0], deviation=[1.0, 0.5], runs=3)
    reach = 4.302652729911275 / np.sqrt(3) * means["deviation"]  # t(0.975, 2) of any table: 4.3027
    means = means.assign(low=means["value"] - reach, high=means["value"] + reach)
    return pd.concat([rows, means], ignore_index=True)


def difference_rows(dataset="synthetic", tta="none", metric="accuracy"):
    """The row of the two arms' difference, paired by seed, as the evaluation writes it."""
    found = {"value": 1.0, "deviation": 1.5, "low": -2.7262, "high": 4.7262}
    note = f"95 % interval -2.73 to 4.73 (t over seeds and samples); McNemar p by seed 0.1; {NOTE}"
    means = result_rows(dataset, tta, metric).query("seed == ''").head(1)
    return means.assign(arm="masked - no_mask", unit="points", note=note, **found)


def published_rows():
    return pd.DataFrame(
        [
            {
                "method": "rmn", "arm": arm, "paper": "2603.05937", "table": table, "dataset": "fer2013",
                "protocol": "official", "split": "test", "metric": "accuracy", "unit": "%", "value": value,
                "pretraining": "imagenet", "tta": "random, 8 copies", "source": "paper", "note": "",
            }
            for arm, value, table in (("masked", 74.14, "Table III"), ("no_mask", 72.42, "README"))
        ]
    )  # fmt: skip


def ledger_rows():
    """Three claims: one tested on other data, one on the paper's own, one not attempted."""
    common = {
        "claim": "rmn-masks", "method": "rmn", "kind": "difference", "statement": "Masks <help>.",
        "arm": "masked", "against": "no_mask", "dataset": "fer2013", "data": "FER2013",
        "protocol": "official", "metric": "accuracy", "augmented": False, "condition": "", "unit": "points",
        "published": 1.72, "tolerance": 0.6, "published_source": "74.14 over 72.42", "measured": np.nan,
        "difference": np.nan, "low": np.nan, "high": np.nan, "confidence": 0.95, "p": np.nan,
        "seeds": np.nan, "more_seeds": np.nan, "verdict": "not attempted", "rule": 1,
        "reason": "there is no run on this data set", "access": "free: somewhere", "as_published": False,
        "epochs": 6, "record": "",
    }  # fmt: skip
    tested = {
        **common, "dataset": "synthetic", "data": "synthetic faces", "published": np.nan, "tolerance": np.nan,
        "published_source": "", "condition": "synthetic faces, width 1/8", "measured": 81.0,
        "difference": 1.0, "low": -2.73, "high": 4.73, "seeds": 3, "more_seeds": 12, "rule": 15,
        "verdict": "inconclusive", "reason": "the sign is not certain",
    }  # fmt: skip
    reached = {
        **tested, "claim": "rmn-accuracy", "kind": "absolute", "against": "", "unit": "%",
        "dataset": "fer2013", "data": "FER2013", "published": 74.14, "tolerance": 0.73,
        "published_source": "Table III",
        "condition": "FER2013, as published", "difference": 0.1, "low": -0.5, "high": 0.7,
        "more_seeds": np.nan, "verdict": "reproduced", "rule": 16, "reason": "reached",
        "as_published": True, "record": "one",
        "statement": "It reaches 74.14 %.",
    }  # fmt: skip
    return pd.DataFrame([common, tested, reached])


def shown(piece):
    return new_output("execute_result", data={"text/html": piece.markup, "text/plain": "Shown"})


PARAMS = """
pipeline:
  datasets: {synthetic: data/synthetic/manifest.json}
  faces: {datasets: [synthetic], methods: [rmn]}
  clips: {datasets: [], methods: []}
  pairs: {datasets: [], methods: []}
  forgeries: {datasets: [], methods: []}
  sequences: {datasets: [], methods: []}
  traces: {datasets: [], methods: []}
  synthesis: {datasets: [], methods: []}
  hiding: {datasets: [], methods: []}
  groups: {datasets: [], methods: []}
  further_faces: {datasets: [], methods: []}
  further_forgeries: {datasets: [], methods: []}
full:
  datasets: {}
  faces: {datasets: [], methods: []}
  clips: {datasets: [], methods: []}
  pairs: {datasets: [], methods: []}
  forgeries: {datasets: [], methods: []}
  sequences: {datasets: [], methods: []}
  traces: {datasets: [], methods: []}
  synthesis: {datasets: [], methods: []}
  hiding: {datasets: [], methods: []}
  groups: {datasets: [], methods: []}
  further_faces: {datasets: [], methods: []}
  further_forgeries: {datasets: [], methods: []}
seeds: [0, 1, 2]
data: {default: {max_train: 0, max_val: 0, max_test: 0, folds: 0, select_on: val}}
recipe_defaults: {}
methods: {rmn: {arms: [masked, no_mask], more_arms: [], recipes: {}}}
evaluation: {batch_size: 64, confidence: 0.95, bootstrap: 2000, explained: 16}
runtime: {device: cpu, threads: 1, checkpoint_seconds: 60.0, compile: false, channels_last: true,
  deterministic: true}
"""


PAPERS = """
rmn: {title: Masks, authors: [A, B], year: 2020, venue: ICPR, arxiv: "2603.05937"}
"""
LOCK = """
stages:
  prepare@synthetic:
    cmd: make
    outs:
    - {path: prepared/synthetic, md5: 0123abc.dir, size: 12345}
  an-old-stage:
    outs: [{path: gone, md5: fff, size: 1}]
"""
COSTS = """method,arm,dataset,parameters,item,flops
rmn,masked,synthetic,2163247,1 face,57983872
rmn,no_mask,synthetic,335919,1 face,11453312
"""
PAPER_TABLE = """method,table,network,dataset,protocol,split,metric,tta,unit,published,measured,deviation,\
low,high,seeds,gap,source,pretraining,note
rmn,Table III,<script>masked</script>,fer2013,official,test,accuracy,,%,74.14,,,,,,,paper,imagenet,
"""
DEVIATIONS = """
rmn:
  - {about: mask, paper: A sigmoid., chosen: A softmax., why: The code., effect: not measured, source: ""}
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def make_record(records, dataset="fer2013", changed=(), **facts):
    tta = "random, 8 copies"
    official = [
        result_rows(dataset, tta=tta),
        result_rows(dataset),
        result_rows(dataset, tta, "mean_class_accuracy"),
    ]
    lower = {name: lambda rows, name=name: rows[name] - 2 for name in ("value", "low", "high")}
    clean = result_rows(dataset, tta=tta).assign(protocol="clean", **lower)
    differences = [
        difference_rows(dataset),
        difference_rows(dataset, tta).assign(protocol="clean", value=-1.0, low=-2.0, high=0.5),
        difference_rows(dataset, metric="mean_class_accuracy"),
    ]
    rows = pd.concat([*official, clean, *differences])
    record = {
        "commit": "0" * 40, "changed": list(changed), "dataset": dataset, "method": "rmn",
        "note": "<i>ours</i>", "recipe": {"note": "CPU budget"}, "recipe_name": "fer2013",
        "runs": [
            {"arm": arm, "seed": seed, "parameters": 1234, "train_seconds": 1250.0}
            for seed in range(3) for arm in ACCURACIES
        ],
        "environment": {
            "processor": "A processor", "cores": 2, "device": "cpu", "packages": {"torch": "2.0"},
        },
    } | facts  # fmt: skip
    write(records / "one/rows.csv", rows.to_csv(index=False))
    ledger_rows().iloc[2:].assign(seeds=3).to_csv(records / "one/ledger.csv", index=False)
    write(records / "one/record.json", json.dumps(record))
    write(records / "README.md", "What this is.")


def make_project(tmp_path):
    write(tmp_path / "params.yaml", PARAMS)
    rows = pd.concat([result_rows(), result_rows(tta="random, 8 copies")])
    write(tmp_path / "results/measured/synthetic/rmn/rows.csv", rows.to_csv(index=False))
    write(tmp_path / "results/published/results.csv", published_rows().to_csv(index=False))
    write(tmp_path / "results/published/papers.yaml", PAPERS)
    write(tmp_path / "results/published/deviations.yaml", DEVIATIONS)
    write(tmp_path / "results/comparison/ledger.csv", ledger_rows().to_csv(index=False))
    write(tmp_path / "results/comparison/cost.csv", COSTS)
    write(tmp_path / "results/comparison/tables/rmn.csv", PAPER_TABLE)
    write(tmp_path / "dvc.lock", LOCK)
    write(
        tmp_path / "docs/verdicts.md",
        "# Verdicts\n\n## Rules\n\nRule one, [explained](faq.md).\n\n## Power\n\nMore.\n",
    )
    make_record(tmp_path / "results/records")
    for seed in range(3):
        for arm in ACCURACIES:
            lines = "".join(f"{e},0.1,{2 / e},{0.3 * e},{2 / e},{0.2 * e},0\n" for e in (1, 2, 3))
            head = "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,best\n"
            write(tmp_path / f"runs/synthetic/rmn/{seed}/{arm}/history.csv", head + lines)
    evil = "<script>alert(1)</script>"
    table = pd.DataFrame({"class": [evil], "count": [3]})
    sheet = contact_sheet(np.zeros((2, 8, 8), np.uint8), ["a$b", "$\\bad$"])
    cells = [
        new_markdown_cell("# Story\n\nSee [the end](#The-end) and ![far](https://example.org/far.png)."),
        new_markdown_cell("**Question.** Why?\n\n**Reads** files. **Writes** others."),
        new_markdown_cell("How to run this notebook.", metadata={"tags": ["notebook-only"]}),
        new_code_cell("seed = 0", metadata={"tags": ["parameters"]}),
        new_markdown_cell("## The idea\n\n## The idea"),
        new_code_cell("x", outputs=[shown(show_table(table, "Counts")), new_output("stream", text=evil)]),
        new_code_cell("y", outputs=[shown(show_figure(sheet, evil, f'"{evil}'))]),
        new_code_cell("z", outputs=[new_output("display_data", data={"image/png": PIXEL})]),
        new_code_cell("z", outputs=[new_output("display_data", data={"text/html": f"<p id='p'>{evil}</p>"})]),
        new_markdown_cell("## The end\n\n> A quotation.\n\n| topic | `here` |\n|---|---|\n| mask | 1 |"),
        new_code_cell("1 / 0", outputs=[new_output("error", ename="E", evalue="no", traceback=["E: no"])]),
    ]
    for name in ("rmn-synthetic", "data-synthetic", "comparison"):
        (tmp_path / "executed").mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=cells), tmp_path / "executed" / f"{name}.ipynb")
    return tmp_path
