"""The page "Add a data set", carried out to the letter in a copy of the project."""

import json

import pandas as pd
import pytest
from worked_pages import blocks_of, carry_out, copy_project, run


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The copy, after every file was written and every command was called."""
    folder = tmp_path_factory.mktemp("add_dataset") / "project"
    copy_project(folder)
    said = carry_out(blocks_of("add_dataset.md"), folder)
    (folder / "said.txt").write_text(said, encoding="utf-8")
    return folder


def test_the_doctor_counts_and_knows_the_real_size(project):
    said = (project / "said.txt").read_text(encoding="utf-8")
    assert "distinct images: 70, official 213" in said
    assert "non-commercial research" in said


def test_nobody_stands_in_two_splits_and_labels_are_those_of_the_names(project):
    samples = pd.read_csv(project / "stores/jaffe/samples.csv", keep_default_na=False)
    assert samples.groupby("subject")["split"].nunique().max() == 1
    assert samples.groupby("subject")["fold"].nunique().max() == 1
    assert set(samples["fold"]) == set(range(1, 11))
    assert samples["split"].value_counts().to_dict() == {"train": 56, "val": 7, "test": 7}
    codes = samples["file"].str.extract(r"\.([A-Z]{2})1\.")[0]
    order = ["AN", "DI", "FE", "HA", "SA", "SU", "NE"]
    assert samples["label"].tolist() == [order.index(code) for code in codes]


def test_it_trains(project):
    folder = project / "scratch/runs/jaffe/rmn/0/masked"
    assert json.loads((folder / "config.json").read_text())["dataset"] == "jaffe"
    assert (folder / "predictions.csv").is_file()


def test_a_wrong_name_is_one_sentence_that_helps(project):
    command = "cp scratch/jaffe/KA.AN1.1.tiff scratch/jaffe/KA.AB1.1.tiff; "
    command += "fer-repro data add jaffe scratch/jaffe --size 48 --force 2>&1 || test $? = 2"
    said = run(command, project)
    assert "KA.AB1.1.tiff: unknown expression 'AB'; did you mean" in said
    assert "Traceback" not in said
