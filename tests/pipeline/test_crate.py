"""Records as RO-Crates: what they state, that nothing is invented, and what the field's validator finds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stub_project import ROOT

from fer_repro import cli
from fer_repro.errors import UserError
from fer_repro.files import file_sha256
from fer_repro.pipeline.crate import commands, export_crate

RECORDS = ROOT / "results/records"
VALIDATOR = os.environ.get("FER_REPRO_ROC_VALIDATOR", "")  # the Python of an environment with roc-validator


def entities(folder):
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    return {entity["@id"]: entity for entity in graph}


@pytest.fixture(scope="module")
def crate(tmp_path_factory):
    pytest.importorskip("rocrate", reason="rocrate is not installed: pip install 'fer-repro[crate]'")
    return export_crate("ferplus-ran", tmp_path_factory.mktemp("crates") / "ran", records=RECORDS)


def test_every_result_is_there_with_its_digest(crate):
    found = entities(crate)
    results = {item["@id"] for item in found["#run"]["result"]}
    kept = {
        path.relative_to(RECORDS / "ferplus-ran").as_posix()
        for path in (RECORDS / "ferplus-ran").rglob("*.*")
    }
    assert results == kept
    for name in results:
        assert (
            found[name]["sha256"] == file_sha256(crate / name) == file_sha256(RECORDS / "ferplus-ran" / name)
        )


def test_inputs_are_named_by_digest_and_parameters_by_value(crate):
    record, found = json.loads((crate / "record.json").read_text()), entities(crate)
    objects = [found[item["@id"]] for item in found["#run"]["object"]]
    assert {one["sha256"] for one in objects if one["@type"] == "File"} == {*record["data_sha256"].values()}
    values = {one["name"]: one["value"] for one in objects if one["@type"] == "PropertyValue"}
    assert values["recipe.epochs"] == record["recipe"]["epochs"]
    assert values["recipe.optimiser.lr"] == record["recipe"]["optimiser"]["lr"]
    seeds = sorted({run["seed"] for run in record["runs"]})
    assert values["seeds"] == ", ".join(map(str, seeds))
    assert values["arms"] == "softmax_weights, whole_face"


def test_who_when_software_and_licence_are_those_known(crate):
    record, found = json.loads((crate / "record.json").read_text()), entities(crate)
    people = [one["name"] for one in found.values() if one["@type"] in ("Person", "Organization")]
    asked = ["git", "-C", RECORDS / "ferplus-ran", "log", "-1", "--format=%cI|%an", "--", "."]
    when, _, who = subprocess.run(asked, capture_output=True, text=True).stdout.strip().partition("|")
    assert set(people) <= {"fer_repro contributors", who}
    assert not when or found["./"]["datePublished"] == when
    assert not {"startTime", "endTime"} & {*found["#run"]}  # no record keeps them
    assert found["#torch"]["softwareVersion"] == record["environment"]["packages"]["torch"]
    assert found["commands.sh"]["version"] == record["commit"]
    data = [one for one in found.values() if one["@id"].startswith("ni:")]
    assert len(data) == 3
    assert all("do not publish them again" in one["conditionsOfAccess"] for one in data)


def test_the_commands_make_the_record_again():
    def of(name):
        return commands(name, json.loads((RECORDS / name / "record.json").read_text())).splitlines()[3:]

    assert of("half-ckplus48-fan")[0].startswith("fer-repro train fan ckplus48 --seed 0 -s recipe.epochs=")
    assert (
        of("half-ckplus48-fan")[-1]
        == "fer-repro record half-ckplus48-fan ckplus48 fan --half --project scratch"
    )
    assert of("full-synthetic-rmn") == ["make reproduce", "dvc --cd full repro record@synthetic-rmn"]
    assert of("half-long-synthetic-rmn")[-1] == "dvc --cd full repro long@synthetic-rmn"


def test_a_record_without_digests_says_so(crate, tmp_path):
    found = entities(export_crate("fer2013-rmn-cpu", tmp_path / "crate", records=RECORDS))
    (data,) = [found[one["@id"]] for one in found["#run"]["object"] if one["@id"].startswith("#data")]
    assert data["description"] == "The record keeps no digests of it."


def test_the_same_record_gives_the_same_crate(crate, tmp_path):
    again = export_crate("ferplus-ran", tmp_path / "again", records=RECORDS)
    assert (again / "ro-crate-metadata.json").read_bytes() == (crate / "ro-crate-metadata.json").read_bytes()


def test_mistakes_name_what_is_there(tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="no record 'ferplus-rna'; did you mean 'ferplus-ran'"):
        export_crate("ferplus-rna", tmp_path / "crate", records=RECORDS)
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    with pytest.raises(UserError, match=r"pip install 'fer-repro\[crate\]'"):
        export_crate("ferplus-ran", tmp_path / "crate", records=RECORDS)
    assert not any(tmp_path.iterdir())
    for words, said in (("", "of which DATASET and METHOD?"), ("--crate x --half", "are of a new record")):
        monkeypatch.setattr(sys, "argv", ["fer-repro", "record", "mine", *words.split()])
        with pytest.raises(SystemExit):
            cli.main()
        assert said in capsys.readouterr().err


def test_the_fields_validator_finds_no_required_property_missing(crate, tmp_path):
    if not VALIDATOR:
        pytest.skip("FER_REPRO_ROC_VALIDATOR names no Python with roc-validator, which the pins do not allow")
    script = Path(__file__).with_name("validate_crate.py")
    done = subprocess.run([VALIDATOR, script, crate], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "broken"
    shutil.copytree(crate, broken)
    metadata = broken / "ro-crate-metadata.json"
    metadata.write_text(metadata.read_text().replace('"instrument"', '"instruments"'))
    assert subprocess.run([VALIDATOR, script, broken], capture_output=True).returncode == 1
