"""params.yaml, its parameters and those of stages: each mistake is one line that names key and place."""

import re
from pathlib import Path

import pytest

from fer_repro.errors import UserError
from fer_repro.files import parse_pairs, read_yaml
from fer_repro.params import read_params
from fer_repro.plain_yaml import MOST_VALUES, parse_yaml

PARAMS = Path(__file__).parents[2] / "params.yaml"
SYNTHETIC = "methods.rmn.recipes.synthetic"
SEEDS = "seeds:\n- 0\n- 1\n- 2\n- 3\n- 4\n"
METHODS = re.search(r"    methods:\n(    - \w+\n)+", PARAMS.read_text())[0]
BOMB = "\n".join(
    ["note: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"n{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
)
# what stands in params.yaml, what is written instead, and what the message holds; LINE: of what stands there
PARAMETERS = {
    "a word for a number": ("lr: 1e-2", "lr: fast", f"{SYNTHETIC}: optimiser.lr is 'fast'"),
    "infinity": ("lr: 1e-2", "lr: .inf", f"{SYNTHETIC}: optimiser.lr is '.inf'"),
    "no number": ("lr: 1e-2", "lr: .nan", f"{SYNTHETIC}: optimiser.lr is '.nan'"),
    "beyond every float": ("lr: 1e-2", "lr: 1e999", "'1e999' on line"),
    "beyond every integer": (SEEDS, f"seeds: [{'9' * 5000}]\n", "on line LINE is no number"),
    "a negative rate": ("lr: 1e-2", "lr: -1", "optimiser.lr is -1: input should be greater than 0"),
    "a date": ("lr: 1e-2", "lr: 2001-12-14", "optimiser.lr is '2001-12-14'"),
    "a time": ("lr: 1e-2", "lr: 2001-12-14t21:59:43Z", "optimiser.lr is '2001-12-14t21:59:43Z'"),
    "bytes": ("lr: 1e-2", "lr: !!binary aGk=", "tag 'tag:yaml.org,2002:binary'"),
    "a set": (SEEDS, "seeds: !!set {0, 1}\n", "tag 'tag:yaml.org,2002:set'"),
    "a tag of one's own": ("lr: 1e-2", "lr: !half 2e-2", "tag '!half'"),
    "a Python object": ("lr: 1e-2", "lr: !!python/name:os.system ''", "python/name:os.system"),
    "a list that holds itself": ("lr: 1e-2", "lr: &a [*a]", "recursive"),
    "nested without end": ("lr: 1e-2", f"lr: {'[' * 3000}{']' * 3000}", "nested too deeply"),
    "a collection as key": ("seeds:", "? [a, b]\n: 1\nseeds:", "the key on line LINE is a collection"),
    "a merge": ("lr: 1e-2", "<<: {lr: 1e-2}", "tag 'tag:yaml.org,2002:merge'"),
    "an alias of nothing": ("lr: 1e-2", "lr: *rate", "undefined alias"),
    "a tab": ("seeds:", "\tseeds:", r"found character '\t'"),
    "a second document": ("seeds:", "---\nseeds:", "expected a single document"),
    "a key twice": ("seeds:", "seeds: [4]\nseeds:", "repeats the one on line LINE"),
    "a seed twice": (SEEDS, "seeds: [0, 1, 0]\n", "seeds holds 0 twice"),
    "a fractional seed": (SEEDS, "seeds: [0.5]\n", "seeds.0 is 0.5"),
    "a logical seed": (SEEDS, "seeds: [true]\n", "seeds.0 is True"),
    "a seed too large": (SEEDS, "seeds: [4294967296]\n", "seeds.0 is 4294967296"),
    "no seeds": (SEEDS, "seeds: []\n", "seeds is []: list should have at least 1 item"),
    "a method twice": (METHODS, "    methods: [rmn, rmn]\n", "faces.methods names 'rmn' twice"),
    "a list of lists": (METHODS, "    methods: [[rmn]]\n", "pipeline.faces.methods.0 is ['rmn']"),
    "an unknown method": (METHODS, "    methods: [rmn, rn]\n", "names 'rn', which methods does not have;"),
    "a set without manifest": (
        "synthetic: data/synthetic/manifest.json", "synthetic:", "pipeline.datasets.synthetic is None"
    ),
    "a set that climbs": ("  ckplus48: {", "  ../fer2013: {", "data: '../fer2013' becomes a folder"),
    "a set with a blank": ("  ckplus48: {", "  fer 2013: {", "data: 'fer 2013' becomes a folder"),
    "a numbered set": ("  ckplus48: {", "  2013: {", "data: 2013 becomes a folder"),
    "limits that are none": ("ffpp: {max_val: 6000}", "ffpp: {max_val: -1}", "data.ffpp.max_val is -1"),
    "a part that is none": ("select_on: val}\n", "select_on: tset}\n", "data.default.select_on is 'tset'"),
}  # fmt: skip


def spoiled(folder, old, new):
    text = PARAMS.read_text(encoding="utf-8")
    assert old in text, f"params.yaml no longer holds {old!r}"
    path = folder / "params.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", PARAMETERS)
def test_a_mistake_in_params_yaml(tell, tmp_path, case):
    old, new, expected = PARAMETERS[case]
    said = tell("train", "rmn", "synthetic", "--params", spoiled(tmp_path, old, new))
    line = PARAMS.read_text(encoding="utf-8").partition(old)[0].count("\n") + 1
    assert "params.yaml" in said
    assert expected.replace("LINE", str(line)) in said
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


FILES = {
    "empty": (b"", "found NoneType"),
    "a list": (b"- seeds\n", "found list"),
    "a sentence": (b"seeds\n", "found str"),
    "UTF-16": ("seeds: [0]".encode("utf-16"), "not readable as YAML: 'utf-8' codec"),
    "Latin 1": (b"# \xe9\nseeds: [0]", "not readable as YAML: 'utf-8' codec"),
    "a zero byte": (b"seeds: [0]\0", "unacceptable character"),
    "cut off": (b"seeds: [0, 1", "expected ',' or ']'"),
    "an image": (b"\x89PNG\r\n\x1a\n", "not readable as YAML"),
    "aliases that unfold to billions": (BOMB.encode(), f"more than {MOST_VALUES} values"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_params_yaml(tell, tmp_path, case):
    content, expected = FILES[case]
    (tmp_path / "params.yaml").write_bytes(content)
    said = tell("train", "rmn", "synthetic", "--params", tmp_path / "params.yaml")
    assert "params.yaml" in said
    assert expected in said


def test_a_method_without_sections(tmp_path):
    text = re.sub(
        r"^  rmn:.*\n(    .*\n|\n)*", "  rmn:\n", PARAMS.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"methods\.rmn is None: input should be a mapping of keys"):
        read_params(tmp_path / "params.yaml")


def test_an_arm_twice(tmp_path):
    with pytest.raises(UserError, match=r"methods\.\w+: arm 'plain' is named twice"):
        read_params(spoiled(tmp_path, "    - plain\n", "    - plain\n    - plain\n"))


COMMANDS = {
    "unknown method": (("train", "rnm", "synthetic"), "methods has no 'rnm'; did you mean 'rmn'?"),
    "unknown data set": (("train", "rmn", "synthetik"), "data has no 'synthetik'; did you mean 'synthetic'?"),
    "a path for a data set": (("train", "rmn", "../synthetic"), "data has no '../synthetic'"),
    "unknown recipe": (("train", "rmn", "synthetic", "--recipe", "papr"), "did you mean 'paper'?"),
    "unknown setting": (("train", "rmn", "synthetic", "-s", "recipe.epoch=3"), "did you mean 'epochs'?"),
    "setting without value": (("train", "rmn", "synthetic", "-s", "recipe.epochs"), "expected key=value"),
    "setting twice": (
        ("train", "rmn", "synthetic", "-s", "seed=1", "-s", "seed=2"), "'seed' is given twice"
    ),
    "setting of another kind": (("train", "rmn", "synthetic", "-s", "recipe.epochs=x"), "epochs is 'x'"),
    "setting below the least": (("train", "rmn", "synthetic", "-s", "recipe.epochs=0"), "recipe.epochs is 0"),
    "a Python object": (("train", "rmn", "synthetic", "-s", "seed=!!python/name:os.system"), "python/name"),
    "nested without end": (("train", "rmn", "synthetic", "-s", f"seed={'[' * 2000}"), "nested too deeply"),
    "unknown set to add": (("data", "add", "fer2031", "x"), "'fer2031' is unknown; did you mean 'fer2013'?"),
    "unknown variant": (("data", "add", "ferplus-plane", "x"), "did you mean 'ferplus-plain'?"),
    "a variant that climbs": (("data", "add", "folder-../../x", "x"), "'folder-../../x' is unknown"),
    "a set not added": (("data", "doctor", "fer2013", "--store", "none"), "fer-repro data add fer2013 PATH"),
}  # fmt: skip


@pytest.mark.parametrize("case", COMMANDS)
def test_a_mistake_in_a_command(tell, case, monkeypatch):
    monkeypatch.chdir(PARAMS.parent)
    arguments, expected = COMMANDS[case]
    assert expected in tell(*arguments)


PAIRS = {
    "no key": ("=3", "expected key=value"),
    "a blank in the key": ("se ed=3", "expected key=value"),
    "an open list": ("seed=[", "not readable as YAML"),
    "a zero byte": ("seed=\0", "unacceptable character"),
    "an alias": ("seed=*x", "undefined alias"),
    "infinite": ("rate=1e400", "is no number that can be computed with"),
}


@pytest.mark.parametrize("case", PAIRS)
def test_a_mistake_in_a_parameter_of_a_stage(case):
    pair, expected = PAIRS[case]
    with pytest.raises(UserError, match=re.escape(expected)) as caught:
        parse_pairs([pair], "-p")
    assert str(caught.value).startswith("-p ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("day: 2024-01-01", {"day": "2024-01-01"}),
        ("[&a 1, *a]", [1, 1]),
        ("{a: ~, b: '1e3', c: 1e3}", {"a": None, "b": "1e3", "c": 1000.0}),
        (str(2**63 - 1), 2**63 - 1),
        ("- -0.0", [-0.0]),
        ("", None),
    ],
)
def test_values_are_what_json_knows(text, value):
    assert parse_yaml(text, "here") == value


def test_many_values_without_aliases_are_read(tmp_path):
    (tmp_path / "long.yaml").write_text("a: [" + "1, " * 20_000 + "1]")
    assert len(read_yaml(tmp_path / "long.yaml")["a"]) == 20_001
