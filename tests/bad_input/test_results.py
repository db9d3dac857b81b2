"""Files between stages and published tables: what cannot be counted is refused with its file and row."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fer_repro.config import run_folder
from fer_repro.datasets.face_index import read_face_index
from fer_repro.errors import UserError
from fer_repro.evaluation.claims import published_table, read_claims
from fer_repro.figures.deviations import read_deviations
from fer_repro.figures.ledger_tables import read_ledger
from fer_repro.figures.result_files import (
    json_or_nothing,
    read_all_rows,
    read_explained,
    read_history,
    read_rows,
)
from fer_repro.inference.faces_in import read_boxes
from fer_repro.inference.run_models import read_run_facts
from fer_repro.report.records import read_records
from fer_repro.report.story_html import read_story
from fer_repro.runs.folder import read_runs
from fer_repro.runs.predictions import read_pair_scores

PUBLISHED = Path(__file__).parents[2] / "results/published"
RESULTS = (PUBLISHED / "results.csv").read_text(encoding="utf-8")
HEAD = RESULTS.splitlines()[0]
DEEP = "[" * 100_000
ENDLESS = "9" * 400  # more than a float holds, yet a whole number
PREDICTED = "sample,split,target,logit_a,logit_b\n"
AUGMENTED = "sample,split,target,logit_a,logit_b,tta_a,tta_b\n"
PAIRS = "list,first,second,same,fold,score\n"
BOXES = "source,frame,left,top,right,bottom\n"


def runs(path):
    """Read the one run of a project that lies where ``path`` says."""
    root = path.parents[4]
    (path.parent / "config.json").exists() or (path.parent / "config.json").write_text('{"recipe": {}}')
    (path.parent / "predictions.csv").exists() or (path.parent / "predictions.csv").write_text(
        f"{PREDICTED}0,test,0,1,2\n"
    )
    return read_runs(root, "synthetic", "rmn", [0], ["plain"])


RUN = run_folder("runs", "synthetic", "rmn", 0, "plain").as_posix()
TABLES = {
    "predictions": (f"{RUN}/predictions.csv", runs),
    "config": (f"{RUN}/config.json", runs),
    "facts": ("run/config.json", lambda path: read_run_facts(path.parent)),
    "pairs": ("pairs.csv", read_pair_scores),
    "published": ("results.csv", published_table),
    "rows": ("rows.csv", read_rows),
    "results": (
        "results/measured/synthetic/rmn/rows.csv",
        lambda path: read_all_rows(path.parents[2], [("synthetic", "rmn")]),
    ),
    "claims": ("claims.yaml", read_claims),
    "deviations": ("deviations.yaml", read_deviations),
    "ledger": ("ledger.csv", read_ledger),
    "history": (f"{RUN}/history.csv", lambda path: read_history(path.parents[4], "synthetic", "rmn")),
    "explained": ("run/explained.npz", lambda path: read_explained(path.parent)),
    "record": (
        "results/records/mine/record.json",
        lambda path: read_records(path.parents[1], read_rows(PUBLISHED / "results.csv"), 0.95),
    ),
    "json": ("audit.json", json_or_nothing),
    "story": ("rmn.ipynb", read_story),
    "boxes": ("found.csv", read_boxes),
    "boxes in Parquet": ("found.parquet", read_boxes),
    "boxes in JSON": ("found.json", read_boxes),
    "faces": ("faces.parquet", read_face_index),
}
BAD = {
    "predictions, none": ("predictions", "", "not readable as CSV"),
    "predictions, no rows": ("predictions", PREDICTED, "0 rows of 2 classes"),
    "predictions, one class": (
        "predictions",
        "sample,split,target,logit_a\n0,test,0,1\n",
        "1 rows of 1 classes",
    ),
    "predictions, another table": (
        "predictions",
        "a,b\n1,2\n",
        "the columns are a, b; expected sample, split",
    ),
    "predictions, semicolons": ("predictions", PREDICTED.replace(",", ";"), "expected sample, split, target"),
    "predictions, a sample twice": (
        "predictions",
        f"{PREDICTED}0,test,0,1,2\n0,test,0,1,2\n",
        "row 2 (0,test,0,1,2,...): expected every sample once",
    ),
    "predictions, NaN": ("predictions", f"{PREDICTED}0,test,0,nan,2\n", "row 1 (0,test,0,nan,2"),
    "predictions, infinity": ("predictions", f"{PREDICTED}0,test,0,inf,2\n", "row 1 (0,test,0,inf,2"),
    "predictions, a row cut off": (
        "predictions",
        f"{PREDICTED}0,test,0,1\n",
        "expected a number in every column",
    ),
    "predictions, a row too long": ("predictions", f"{PREDICTED}0,test,0,1,2,3\n", "row 1"),
    "predictions, no such class": (
        "predictions",
        f"{PREDICTED}0,test,2,1,2\n",
        "target a class index from 0 to 1",
    ),
    "predictions, no such part": (
        "predictions",
        f"{PREDICTED}0,tset,0,1,2\n",
        "split one of val, test, challenge",
    ),
    "predictions, a sample below 0": (
        "predictions",
        f"{PREDICTED}-1,test,0,1,2\n",
        "sample a whole number from 0",
    ),
    "predictions, an endless sample": (
        "predictions",
        f"{PREDICTED}{ENDLESS},test,0,1,2\n1,test,0,1,2\n",
        "expected a number in every column",
    ),
    "predictions, a sample beyond every table": (
        "predictions",
        f"{PREDICTED}99999999999999999999,test,0,1,2\n",
        "sample a whole number from 0",
    ),
    "predictions, half a sample": (
        "predictions",
        f"{PREDICTED}0.5,test,0,1,2\n",
        "sample a whole number from 0",
    ),
    "predictions, half augmented": (
        "predictions",
        PREDICTED.replace("\n", ",tta_a\n"),
        "with the same classes",
    ),
    "predictions, shares beyond 1": (
        "predictions",
        f"{AUGMENTED}0,test,0,1,2,5,-4\n",
        "row 1: tta_ columns are [5.0, -4.0]",
    ),
    "predictions, shares that miss 1": (
        "predictions",
        f"{AUGMENTED}0,test,0,1,2,0.5,0.5\n1,test,0,1,2,0.5,0.4\n",
        "row 2: tta_",
    ),
    "predictions, an open quote": ("predictions", f'{PREDICTED}"0,test,0,1,2\n', "EOF inside string"),
    "predictions, an image": ("predictions", b"\x89PNG\r\n\x1a\n", "'utf-8' codec"),
    "predictions, UTF-16": ("predictions", PREDICTED.encode("utf-16"), "'utf-8' codec"),
    "configuration, cut off": ("config", '{"recipe": {', "config.json: not readable as JSON"),
    "configuration, without end": ("config", DEEP, "config.json: not readable as JSON"),
    "configuration, a list": ("config", "[]", "key 'recipe' is missing"),
    "configuration, nothing": ("config", "null", "key 'recipe' is missing"),
    "configuration, no recipe": ("config", '{"method": "rmn"}', "key 'recipe' is missing"),
    "run, cut off": ("facts", "{", "config.json: not readable as JSON"),
    "run, Latin 1": ("facts", b'{"\xe9": 1}', "config.json: not readable as JSON"),
    "run, without end": ("facts", DEEP, "config.json: not readable as JSON"),
    "run, a list": ("facts", "[]", "is missing; expected the configuration of a run"),
    "pairs, none": ("pairs", "", "not readable as CSV"),
    "pairs, no rows": ("pairs", PAIRS, "no pairs; expected at least one row"),
    "pairs, a column missing": ("pairs", "list,first\n", "column 'second' is missing"),
    "pairs, another answer": (
        "pairs",
        f"{PAIRS}test,0,1,2,1,0.5\n",
        "row 1 (test,0,1,2,1,0.5): expected same 0 or 1",
    ),
    "pairs, one sample": ("pairs", f"{PAIRS}test,1,1,1,1,0.5\n", "two different samples"),
    "pairs, NaN": ("pairs", f"{PAIRS}test,0,1,1,1,nan\n", "score a finite number"),
    "pairs, beyond every table": (
        "pairs",
        f"{PAIRS}test,1e300,1,1,1,0.5\n",
        "first a row of the sample table",
    ),
    "pairs, an endless sample": (
        "pairs",
        f"{PAIRS}test,{ENDLESS},1,1,1,0.5\n",
        "first a row of the sample table",
    ),
    "pairs, half a fold": ("pairs", f"{PAIRS}test,0,1,1,0.5,0.5\n", "fold a whole number"),
    "pairs, a list that is none": ("pairs", f"{PAIRS}tset,0,1,1,1,0.5\n", "list one of val, test"),
    "pairs, folds for some": (
        "pairs",
        f"{PAIRS}test,0,1,1,1,0.5\ntest,0,2,0,0,0.5\n",
        "row 2 of list 'test' has no fold",
    ),
    "published, none": ("published", "", "not readable as CSV"),
    "published, an image": ("published", b"\x89PNG\xff", "not readable as CSV"),
    "published, no value": (
        "published",
        "method,vlaue\nrmn,1\n",
        "column 'value' is missing; did you mean 'vlaue'?",
    ),
    "published, a word": (
        "published",
        f"{HEAD}\n{RESULTS.splitlines()[1].replace(',%,', ',%,x')}\n",
        "row 1: value is 'x",
    ),
    "published, infinity": ("published", "method,value\nrmn,inf\n", "row 1: value is 'inf'"),
    "published, an endless number": ("published", f"method,value\nrmn,{ENDLESS}\n", "row 1: value is '999"),
    "rows, none": ("rows", "", "not readable as a table of result rows"),
    "rows, a column missing": ("rows", "method,value\nrmn,1\n", "column 'arm' is missing"),
    "rows, a word": (
        "rows",
        f"{HEAD}\n{RESULTS.splitlines()[1].replace(',%,', ',%,x')}\n",
        "row 1: value is 'x",
    ),
    "results, Latin 1": ("results", b"method,\xe9\n", "not readable as a table of result rows"),
    "claims, a list": ("claims", "- a\n", "expected a mapping of keys at the top"),
    "claims, nothing below": (
        "claims",
        "claims:\nconditions:\ndata_sets:\n",
        "claims is None: expected a list",
    ),
    "claims, conditions in a list": (
        "claims",
        "claims: []\nconditions: [rmn]\ndata_sets: {}\n",
        "conditions is ['rmn']: expected a mapping",
    ),
    "claims, an unknown key": ("claims", "claim: []\n", "unknown key 'claim'; did you mean 'claims'?"),
    "claims, an unknown method": (
        "claims",
        "claims: []\nconditions: {rnm: {}}\ndata_sets: {}\n",
        "unknown 'rnm'; did you mean 'rmn'?",
    ),
    "claims, a sentence": (
        "claims",
        "claims: [RMN is better]\nconditions: {}\ndata_sets: {}\n",
        "claim 1: expected a mapping",
    ),
    "deviations, none": ("deviations", "", "found NoneType"),
    "ledger, none": ("ledger", "", "not readable as CSV"),
    "ledger, Latin 1": ("ledger", b"claim,\xe9\n", "not readable as CSV"),
    "ledger, a column missing": ("ledger", "claims\n", "column 'claim' is missing; did you mean 'claims'?"),
    "history, none": ("history", "", "history.csv: not readable as CSV"),
    "history, Latin 1": ("history", b"\xff\xfe", "history.csv: not readable as CSV"),
    "tensors, none": ("explained", "", "explained.npz: not readable as arrays"),
    "tensors, a text": ("explained", "masks", "explained.npz: not readable as arrays"),
    "tensors, an archive cut off": (
        "explained",
        b"PK\x03\x04" + bytes(99),
        "explained.npz: not readable as arrays",
    ),
    "record, cut off": ("record", "{", "record.json: not readable as JSON"),
    "record, without end": ("record", DEEP, "record.json: not readable as JSON"),
    "record, empty": ("record", "{}", "'commit' is missing"),
    "audit, cut off": ("json", "{", "audit.json: not readable as JSON"),
    "audit, without end": ("json", DEEP, "audit.json: not readable as JSON"),
    "story, cut off": ("story", '{"cells": [', "rmn.ipynb: not readable as a notebook"),
    "story, a list": ("story", "[]", "rmn.ipynb: not readable as a notebook"),
    "story, a program": ("story", "print(1)", "rmn.ipynb: not readable as a notebook"),
    "boxes, none": ("boxes", "", "found.csv: not readable as CSV"),
    "boxes, a column missing": ("boxes", "source,frame,left,top,right\n", "column 'bottom' is missing"),
    "boxes, a word": ("boxes", f"{BOXES}a.png,,1,2,x,4\n", "row 1: right is 'x': expected a number"),
    "boxes, an endless number": ("boxes", f"{BOXES}a.png,,1,2,{ENDLESS},4\n", "row 1: right is 999"),
    "boxes, half a frame": (
        "boxes",
        f"{BOXES}a.mp4,1.5,1,2,3,4\n",
        "row 1: frame is 1.5: expected a whole number",
    ),
    "boxes, infinity": ("boxes", f"{BOXES}a.png,,1,2,inf,4\n", "row 1: right is inf"),
    "boxes, a text": ("boxes in Parquet", "boxes", "found.parquet: not readable as PARQUET"),
    "boxes, cut off": ("boxes in JSON", '[{"source"', "found.json: not readable as JSON"),
    "faces, a text": ("faces", "faces", "faces.parquet: not readable as Parquet"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_cannot_be_counted_is_one_line(case, tmp_path):
    kind, content, expected = BAD[case]
    name, read = TABLES[kind]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=re.escape(expected)) as caught:
        read(path)
    assert path.name in str(caught.value) or kind.startswith("boxes")
    assert len(str(caught.value)) < 2100


GOOD = {
    "predictions": f"{PREDICTED}0,test,0,1,2\n",
    "config": '{"recipe": {}}',
    "pairs": f"{PAIRS}test,0,1,1,1,0.5\n",
    "published": RESULTS,
    "rows": RESULTS,
    "claims": (PUBLISHED / "claims.yaml").read_text(encoding="utf-8"),
    "deviations": (PUBLISHED / "deviations.yaml").read_text(encoding="utf-8"),
    "history": "epoch,val_loss\n1,0.5\n",
    "json": json.dumps({"a": 1}),
    "boxes": f"{BOXES}NA,,1,2,3,4\n",
}


@pytest.mark.parametrize("kind", GOOD)
def test_the_same_readers_take_what_is_right(kind, tmp_path):
    name, read = TABLES[kind]
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(GOOD[kind], encoding="utf-8")
    assert read(tmp_path / name) is not None


def test_an_image_called_na_keeps_its_boxes(tmp_path):
    (tmp_path / "found.csv").write_text(f"{BOXES}NA,,1,2,3,4\nnull,,,,,\n")
    found = read_boxes(tmp_path / "found.csv")
    assert {name: len(boxes) for name, boxes in found.items()} == {("NA", -1): 1, ("null", -1): 0}


def test_an_archive_of_objects_is_not_unpickled(tmp_path):
    np.savez(tmp_path / "explained.npz", masks=np.array([{}], object))
    with pytest.raises(
        UserError, match=r"explained\.npz: not readable as arrays: Object arrays cannot be loaded"
    ):
        read_explained(tmp_path)
