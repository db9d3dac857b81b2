"""What a recipe takes over, and how a run's note says what departs from the paper's recipe."""

from pathlib import Path

import pytest

from fer_repro.config import load_config, method_arms, paper_recipe
from fer_repro.errors import UserError
from fer_repro.params import read_params
from fer_repro.recipes import resolve

PARAMS = Path(__file__).parents[1] / "params.yaml"
PAPER = "the paper's recipe"


def note(recipe="synthetic", method="rmn", overrides=None, smoke=False):
    arm = method_arms(PARAMS, method)[0]
    return load_config(PARAMS, method, "synthetic", arm, 0, recipe, overrides, smoke).recipe.note


def test_recipes_complete_one_another_and_the_defaults():
    recipes = {
        "paper": {"epochs": 9, "schedule": {"name": "steps", "factor": 0.1}, "model": {"width": 64}},
        "own": {"like": "paper", "model": {"stem": "small"}, "schedule": {"name": "constant"}},
        "real": {"like": "own"},
    }
    assert resolve(recipes, "real", {"ema": 0.0, "epochs": 1}, "here") == {
        "ema": 0.0, "epochs": 9, "schedule": {"name": "constant"}, "model": {"width": 64, "stem": "small"}
    }  # fmt: skip


def test_a_typed_note_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"here\.own: note is now written automatically: remove the line"):
        resolve({"own": {"note": "three epochs"}}, "own", {}, "here")
    with pytest.raises(UserError, match=r"recipe\.note is not set by hand"):
        note(overrides={"recipe.note": "three epochs"})


def test_a_mistake_in_the_defaults_is_named_there(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text().replace("  clip_norm: 0.0", "  clip_nrom: 0.0"))
    with pytest.raises(
        UserError, match=r"recipe_defaults: unknown key 'clip_nrom'; did you mean 'clip_norm'"
    ):
        load_config(path, "rmn", "synthetic", "masked", 0)


def test_the_note_names_what_departs_from_the_paper():
    assert note() == (
        "6 epochs (paper: 51), width 8 (64), 64 px (224), no pretraining, batch 32 (48), AdamW (RAdam)"
    )
    assert note("paper") == PAPER
    assert "4 epochs of 480 (paper: 40 of 16000)" in note("synthetic_forgeries", "efficientnet")
    assert note("synthetic_forgeries", "efficientnet").endswith("rate 0.01 (1e-05)")
    assert note(method="adacos") == (
        "6 epochs, width 8, 128-d, 64 px, no pretraining, batch 32, SGD (paper: not known)"
    )


def test_the_note_of_what_is_solved_names_no_training():
    assert note("synthetic_smiles", "pixel_synthesis") == "100 pairs, 48 px (paper: not known)"


def test_the_note_says_what_ran_after_overrides():
    changed = {"recipe.epochs": 1, "recipe.model.width": 16, "data.max_train": 600}
    said = note(overrides=changed)
    assert said.startswith("1 epoch (paper: 51), width 16 (64),")
    assert said.endswith(", at most 600 training samples")
    assert note("paper", overrides={"recipe.model.stem": "small"}) == "small stem (paper: table)"
    others = {"recipe.ema": 0.9, "recipe.label_smoothing": 0.1}
    assert note("paper", overrides=others) == f"{PAPER} but for ema, label smoothing"
    assert note("paper", overrides={"recipe.model.pretraining": "none"}) == "no pretraining"
    assert note("paper", overrides={"recipe.head": "pgm"}) == "pgm head"
    assert note(overrides={"recipe.head": "dropout"}) != note()
    assert note(smoke=True).endswith(", a smoke run")


def test_notes_fit_into_a_table():
    for method, section in read_params(PARAMS).methods.items():
        for recipe in section.recipes:
            said = note(recipe, method)
            assert len(said) < 135
            assert ";" not in said  # parts of a row's note


def test_only_papers_that_could_be_read_have_a_recipe():
    known = {name for name in read_params(PARAMS).methods if paper_recipe(PARAMS, name)}
    assert known == {"rmn", "fan", "ran", "efficientnet", "engagement"}
