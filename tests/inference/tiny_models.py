"""Untrained networks of width 4 as model files, made in a moment."""

from pathlib import Path

import torch

from fer_repro.config import load_config
from fer_repro.inference.networks import state_digest, write_model
from fer_repro.inference.spec import ModelSpec
from fer_repro.methods.method import load_method

PARAMS = Path(__file__).parents[2] / "params.yaml"
SETTINGS = {
    "rmn": ("masked", "synthetic", 7),
    "fan": ("self_relation", "synthetic_clips", 7),
    "efficientnet": ("plain", "synthetic_forgeries", 2),
    "adacos": ("dynamic", "synthetic_pairs", 5),
}


def tiny_state(method):
    """The tensors of a network and its ``ModelSpec``, on faces of 64 x 64 pixels in colour."""
    arm, recipe, outputs = SETTINGS[method]
    torch.manual_seed(0)
    wide = {"recipe.model.width": 4} if method != "efficientnet" else {}
    config = load_config(PARAMS, method, recipe, arm, 0, overrides=wide)
    built = load_method(method)
    options = dict(config.recipe.model)
    network = built.build_model(arm, built.options(**options), outputs, pretrained=False)
    state = network.state_dict()
    task = {"adacos": "verification", "efficientnet": "manipulation"}.get(method, "expression")
    classes = {"adacos": (), "efficientnet": ("real", "manipulated")}
    spec = ModelSpec(
        version=1,
        method=method,
        arm=arm,
        official=None,
        task=task,
        classes=classes.get(method, tuple(f"c{n}" for n in range(outputs))),
        outputs=outputs,
        options=options,
        shows=built.inputs,
        regions=(),
        image_size=64,
        face_size=64,
        colour="rgb",
        crop=built.crop,
        standardise=False,
        dataset="none",
        pretraining="none",
        source="test",
        threshold=0.5 if method == "adacos" else None,
        weights_sha256=state_digest(state),
    )
    return state, spec


def tiny_model(folder, method="rmn"):
    """Write the model file; its path."""
    path = Path(folder) / f"{method}.safetensors"
    state, spec = tiny_state(method)
    write_model(path, state, spec)
    return path


def dying(run, calls, after=3):
    """A backend's ``run`` that is interrupted behind its first calls; ``calls`` notes what it is shown."""

    def interrupted(backend, faces):
        calls.append(faces)
        if len(calls) > after:
            raise KeyboardInterrupt
        return run(backend, faces)

    return interrupted
