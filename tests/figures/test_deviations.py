import pytest
import yaml

from fer_repro.errors import UserError
from fer_repro.figures.deviations import COLUMNS, deviation_table, read_deviations, show_deviations

ENTRY = {
    "about": "mask", "paper": "A <sigmoid>.", "chosen": "A softmax.", "why": "The code.",
    "effect": "not measured", "source": "",
}  # fmt: skip


def sheet(folder, **changes):
    path = folder / "deviations.yaml"
    path.write_text(yaml.safe_dump({"rmn": [ENTRY, {**ENTRY, **changes}]}))
    return path


def test_a_sheet_is_a_table_with_its_effects_and_sources(tmp_path):
    path = sheet(tmp_path, effect="1 point", source="tests/x.py")
    table = deviation_table("rmn", path)
    assert table["found"].tolist() == ["not measured", "1 point (tests/x.py)"]
    markup = show_deviations("rmn", path).markup
    assert "A &lt;sigmoid&gt;." in markup
    assert markup.count('<th scope="col"') == len(COLUMNS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"efect": "x"}, r"rmn: entry 2: unknown key 'efect'; did you mean 'effect'\?"),
        ({"why": " "}, "rmn: entry 2: why is empty: expected a sentence"),
        ({"effect": "1 point"}, "rmn: entry 2: effect is '1 point' and source ''"),
        ({"source": "a test"}, "effect is 'not measured' and source 'a test'"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        read_deviations(sheet(tmp_path, **changes))


def test_the_nearest_sheet_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no sheet of 'rnm'; did you mean 'rmn'\?"):
        deviation_table("rnm", sheet(tmp_path))
