"""Which code a stage depends on."""

from fer_repro import stage_code
from fer_repro.stage_code import STAGES, TRAINING, changed_digests, code_digests


def layers_of(patterns, method=""):
    return {name for name in code_digests(patterns, method) if name.startswith("layers/")}


def test_only_the_layers_that_a_method_imports_are_its_own():
    assert layers_of(TRAINING, "cascade") - layers_of(TRAINING, "p2sgrad") == {"layers/gabor.py"}
    assert "layers/synced_norm.py" in layers_of(TRAINING, "p2sgrad")  # by way of training/processes.py
    assert "layers/efficientnet_trunk.py" in layers_of(TRAINING, "rmn")  # by way of another layer
    assert layers_of(STAGES["compare"]) >= {"layers/gabor.py", "layers/pooling.py"}


def test_a_layer_counts_however_it_is_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_code, "PACKAGE", tmp_path)
    for name, text in {
        "methods/one.py": "def build():\n    from fer_repro.layers import a\n    import fer_repro.layers.b\n",
        "layers/__init__.py": "",
        "layers/a.py": "from fer_repro.layers.c import C\n",
        "layers/b.py": "",
        "layers/c.py": "",
        "layers/d.py": "import fer_repro.layers.a\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = code_digests(("layers/*.py", "methods/{method}.py"), "one")
    assert sorted(found) == [
        "layers/__init__.py",
        "layers/a.py",
        "layers/b.py",
        "layers/c.py",
        "methods/one.py",
    ]
    then = {**found, "layers/d.py": "another", "layers/gone.py": "0", "methods/one.py": "1"}
    assert changed_digests(then, found) == ["layers/gone.py", "methods/one.py"]
    assert changed_digests({}, {"layers/a.py": "0"}) == ["layers/a.py"]
