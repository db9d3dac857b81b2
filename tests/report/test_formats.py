import json
import shutil
from pathlib import Path

from fer_repro.methods.method import method_names
from fer_repro.report.formats import formats_main

ROOT = Path(__file__).parents[2]


def test_csv_files_in_git_hold_all_that_is_printed(tmp_path, capsys):
    assert formats_main(["md", "json", "--root", str(ROOT), "--out", str(tmp_path)]) == 0
    assert "written to" in capsys.readouterr().out
    kept = ROOT / "results/comparison"
    found = [file.relative_to(kept) for file in kept.rglob("*.md")]
    assert len(found) == 4 + len(method_names())
    for file in found:
        assert (tmp_path / file).read_text(encoding="utf-8") == (kept / file).read_text(encoding="utf-8")
        assert json.loads((tmp_path / file).with_suffix(".json").read_text(encoding="utf-8"))


def test_a_missing_table_is_one_line(tmp_path, capsys):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    assert formats_main(["tex", "--root", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "ledger.csv: no such file" in capsys.readouterr().err
