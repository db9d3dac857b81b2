"""What ``notebooks/start.ipynb`` needs: networks of one cell, trained with several seeds, and compared.

    from fer_repro import first_network

The networks are plain ``nn.Module``s from images (N, 3, 48, 48) in [0, 1] to logits; ``compare_networks``
trains them with the package's ``fit`` by the recipe of another small network, on the same batches.
"""

import copy
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from fer_repro.config import RunConfig, load_config
from fer_repro.datasets.store import Store, open_store, store_writer
from fer_repro.errors import UserError, nearest
from fer_repro.figures.answer_figures import show_curves
from fer_repro.figures.claim_figures import difference_sentence
from fer_repro.figures.display import Shown, enter_project, say, show_figure, show_table
from fer_repro.figures.explored import answer_explored
from fer_repro.figures.results import confusion_matrices, error_gallery, paired_seeds
from fer_repro.figures.sample_figures import show_faces
from fer_repro.figures.tables import Column
from fer_repro.inference.explore import (
    Explorer,
    OwnFaces,
    Pose,
    SeenFace,
    face_controls,
    face_format,
    people_of,
    said,
)
from fer_repro.inference.explore_widgets import show_explorer
from fer_repro.inference.moved_faces import render_like
from fer_repro.loading.augmentation import clean_images
from fer_repro.loading.batches import BatchBuilder
from fer_repro.loading.split import Split, open_table
from fer_repro.loading.views import Faces
from fer_repro.measures.classification import softmax
from fer_repro.measures.intervals import Interval, paired_difference
from fer_repro.synthetic.factors import CLASSES
from fer_repro.synthetic.stills import read_stills
from fer_repro.training.checkpoint import Checkpoint
from fer_repro.training.fit import fit
from fer_repro.training.predict import predict, validation
from fer_repro.training.processes import make_fabric
from fer_repro.training.seeding import make_deterministic, seed_everything

__all__ = ["compare_networks", "open_faces", "show_explorer", "show_faces", "show_layers", "show_parts"]
DATASET = "synthetic"
LIKE = ("maxout", "none")  # whose recipe: a small plain network on the same faces
RESAMPLES = 1000  # of people, where there is one seed
_LAYERS = (
    Column("layer", "Layer"),
    Column("shape", "Gives, for one face", "range"),
    Column("parameters", "Parameters", "count"),
)
_SEEDS = (
    Column("seed", "Seed", "count"),
    Column("control", "", "percent"),
    Column("claimed", "", "percent"),
    Column("difference", "Difference (points)", "points"),
)


def open_faces(out: Path | str) -> Store:
    """Write the embedded synthetic faces as a store; the working folder becomes the project's root.

    The hard faces that the *data* notebook renders for them are not among them: that takes a minute.

    Args:
        out: folder of the store, replaced if it is there.

    Raises:
        UserError: the faces have not been fetched, or are damaged.
    """
    enter_project()
    folder = Path(f"data/{DATASET}")
    if not (folder / "manifest.json").is_file():
        raise UserError(
            f"{folder / 'manifest.json'}: no such file; run `dvc pull data.dvc` in the project's folder "
            "(seconds), then this cell again"
        )
    images, table, manifest = read_stills(folder)
    with store_writer(Path(out), DATASET, CLASSES, force=True) as writer:
        writer.append(images)
        writer.finish(table, manifest["files"], manifest["note"])
    return open_store(Path(out))


def show_parts(store: Store) -> Shown:
    """Show how many faces each part of the data has of each class, and of how many people."""
    names = store.samples["label"].map(dict(enumerate(store.classes)))
    table = pd.crosstab(store.samples["split"], names)[list(store.classes)]
    table = table.assign(
        total=table.sum(axis=1), people=store.samples.groupby("split")["subject"].nunique()
    ).reindex(["train", "val", "test"])
    caption = "Faces per part and class, and people per part; nobody is in two parts."
    return show_table(table.rename_axis("part").reset_index(), caption)


def show_layers(network: nn.Sequential, store: Store) -> Shown:
    """Show what each layer of a network makes of one face, and how many numbers it learns."""
    rows, made = [], clean_images(_tensor(store.images[:1]), int(store.images.shape[1]))
    network = copy.deepcopy(network).eval()
    for layer in _flat(network):
        with torch.no_grad():
            made = layer(made)
        learnt = sum(parameter.numel() for parameter in layer.parameters())
        rows.append((_layer_name(layer), " × ".join(map(str, made.shape[1:])), learnt or np.nan))
    total = sum(parameter.numel() for parameter in network.parameters())
    rows.append(("all layers", "", total))
    table = pd.DataFrame(rows, columns=[column.name for column in _LAYERS])
    return show_table(table, "Layer by layer: channels × height × width.", _LAYERS)


@dataclass(frozen=True)
class Comparison:
    """Networks that were trained side by side.

    Attributes:
        store: the faces.
        networks: name -> the network of the first seed, with the weights of its best epoch.
        curves: what ``show_curves`` takes: name, seed, epoch, losses and accuracies.
        logits: name -> (S, N, K) of the test faces.
        test: the N test faces.
    """

    store: Store
    networks: dict[str, nn.Module]
    curves: pd.DataFrame
    logits: dict[str, np.ndarray]
    test: Split

    @cached_property
    def hits(self) -> dict[str, np.ndarray]:
        """Name -> (S, N) bool: which test faces are named right."""
        return {name: values.argmax(2) == self.test.targets for name, values in self.logits.items()}

    def interval(self, claimed: str, control: str, confidence: float = 0.95) -> Interval:
        """Give the mean difference of two accuracies, in [-1, 1], with its interval over seeds and people.

        Raises:
            UserError: there is no network of that name.
        """
        for name in (claimed, control):
            if name not in self.hits:
                raise UserError(f"no network '{name}' was trained; {nearest(name, self.hits)}")
        people = self.store.samples["subject"].to_numpy()[self.test.samples]
        return paired_difference(
            self.hits[claimed], self.hits[control], confidence, RESAMPLES, clusters=people
        )

    def show_curves(self) -> Shown:
        """Show loss and accuracy over the epochs."""
        return show_curves(
            self.curves,
            list(self.networks),
            "Loss and accuracy epoch by epoch: the mean over the seeds as a line, their range as a band. "
            "Dashed: faces trained on; solid: faces of other people.",
        )

    def show_seeds(self, claimed: str, control: str) -> Shown:
        """Show the test accuracy of each seed, and the difference that this seed alone would report."""
        ours, theirs = (100 * self.hits[name].mean(1) for name in (claimed, control))
        table = pd.DataFrame({"seed": range(len(ours)), "control": theirs, "claimed": ours})
        names = {"control": f"{control} (%)", "claimed": f"{claimed} (%)"}
        columns = [replace(c, heading=names.get(c.name, c.heading)) for c in _SEEDS]
        caption = "Accuracy on the test faces, seed by seed; a face is right if its largest answer is."
        return show_table(table.assign(difference=ours - theirs), caption, columns)

    def show_claim(self, claimed: str, control: str, confidence: float = 0.95) -> Shown:
        """Show both networks seed by seed, the interval of their difference, and what it allows to say."""
        found = self.interval(claimed, control, confidence)
        value, low, high = (100 * number for number in (found.value, found.low, found.high))
        rows = pd.DataFrame(
            [
                {"arm": name, "seed": seed, "value": 100 * hits.mean()}
                for name in (claimed, control)
                for seed, hits in enumerate(self.hits[name])
            ]
        )
        sentence = (
            f"{claimed} minus {control}: {value:+.2f} points, {100 * confidence:g} % interval {low:+.2f} to "
            f"{high:+.2f}. {difference_sentence(value, low, high, claimed, control)}"
        ).replace("-", "\N{MINUS SIGN}")
        figure = show_figure(
            paired_seeds(rows, claimed, control, (low, high)),
            "The claim, seed by seed: left both networks, right their difference, with the mean's interval.",
            sentence,
        )
        return Shown(figure.markup + say(sentence).markup)

    def show_confusions(self) -> Shown:
        """Show which classes are taken for which, the mean over the seeds."""
        count = len(self.store.classes)
        matrices = {name: np.zeros((count, count)) for name in self.logits}
        for name, values in self.logits.items():
            for answers in values.argmax(2):
                np.add.at(matrices[name], (self.test.targets, answers), 1 / len(values))
        return show_figure(
            confusion_matrices(matrices, self.store.classes),
            "What is taken for what: rows are what is shown, columns the answer; percent of the row, faces.",
            "One matrix per network.",
        )

    def show_errors(self, name: str, count: int = 8) -> Shown:
        """Show the mistakes of which the first seed's network is most certain."""
        likely, classes = softmax(self.logits[name][0]), np.asarray(self.store.classes)
        wrong = np.flatnonzero(~self.hits[name][0])
        worst = wrong[np.argsort(-likely[wrong].max(1), kind="stable")][:count]
        errors = pd.DataFrame(
            {
                "target": classes[self.test.targets[worst]],
                "predicted": classes[likely[worst].argmax(1)],
                "probability": likely[worst].max(1),
            }
        )
        images = self.store.images[self.store.samples["image"].to_numpy()[self.test.samples[worst]]]
        return show_figure(
            error_gallery(images, errors, columns=4),
            f"The most confident mistakes of {name}, seed 0: what the face shows, and the answer.",
            f"{len(errors)} faces with the true and the predicted class.",
        )

    def explorer(self, name: str) -> Explorer:
        """Change a face, or take the reader's own, and show the answer of the first seed's network."""
        people, network = people_of(self.store.samples, "test"), self.networks[name]

        def answer(images: np.ndarray, shown: str = "") -> SeenFace:
            with torch.no_grad():
                logits = network(clean_images(_tensor(images), int(self.store.images.shape[1])))
            likely = softmax(logits.numpy())[0]
            return SeenFace(answer_explored(images[0], self.store.classes, likely, shown),
                            said(self.store.classes, likely))  # fmt: skip

        def look(person: str, expression: str, intensity: float, yaw: float, occluder: str) -> SeenFace:
            pose = Pose(expression, intensity, yaw, occluder)
            seen = answer(render_like([pose.of(people[person])], self.store).images, expression)
            return SeenFace(seen.figure, f"Person {person}, {pose.words}. {seen.words}")

        return Explorer(face_controls(people, "happy"), look, OwnFaces(face_format(self.store), answer))


def compare_networks(
    networks: Mapping[str, nn.Module], store: Store, seeds: int, epochs: int, faces: int = 0
) -> Comparison:
    """Train networks with the same seeds, batches and recipe, and test them on people they have not seen.

    Every seed draws new initial weights; layers that two networks share by their place draw the same ones as
    long as those before them do.

    Args:
        networks: name -> a network, which stays as it is.
        store: from ``open_faces``.
        seeds: how many.
        epochs: of each training.
        faces: train on so many at most; 0: on all.

    Raises:
        UserError: fewer than one seed or epoch, or a loss that is not finite.
    """
    if seeds < 1 or epochs < 1:
        raise UserError(f"seeds is {seeds}, epochs is {epochs}: expected 1 or more of each")
    train = open_table(store, store.samples, "train", faces)
    held_out, test = (open_table(store, store.samples, part) for part in ("val", "test"))
    kept: dict[str, nn.Module] = {}
    curves: list[dict[str, object]] = []
    logits: dict[str, list[np.ndarray]] = {name: [] for name in networks}
    for seed in range(seeds):
        for name, untrained in networks.items():
            config = _recipe(name, seed, epochs)
            with redirect_stderr(io.StringIO()):  # a line for each epoch, which the curves show
                network, history = _train(untrained, config, train, held_out)
            kept.setdefault(name, network)
            curves += [{"arm": name, "seed": seed, **record} for record in history]
            logits[name].append(_answers(network, config, test))
        print(f"seed {seed}: trained {', '.join(networks)}", flush=True)
    stacked = {name: np.stack(values) for name, values in logits.items()}
    return Comparison(store, kept, pd.DataFrame(curves), stacked, test)


def _recipe(name: str, seed: int, epochs: int) -> RunConfig:
    overrides = {"recipe.epochs": epochs, "runtime.device": "cpu"}
    config = load_config("params.yaml", LIKE[0], DATASET, LIKE[1], seed, overrides=overrides)
    return replace(config, method="start", arm=name)


def _train(
    untrained: nn.Module, config: RunConfig, train: Split, held_out: Split
) -> tuple[nn.Module, Sequence[Mapping[str, float]]]:
    make_deterministic(config.runtime)
    fabric, network = make_fabric(config), copy.deepcopy(untrained)
    seed_everything(config.seed)
    for layer in network.modules():
        reset: Callable[[], None] | None = getattr(layer, "reset_parameters", None)
        if reset is not None:
            reset()
    seed_everything(config.seed)  # networks that draw more initial weights see the same dropout
    judge = validation(_builder(held_out, config), fabric, config.evaluation.batch_size)
    with tempfile.TemporaryDirectory() as folder:  # nothing is continued here
        state = Checkpoint(Path(folder) / "state.pt", "")
        fitted = fit(network, nn.CrossEntropyLoss(), Faces(), train, config, fabric, judge, state)
    network.load_state_dict(fitted.weights)
    return network.eval(), fitted.history


def _answers(network: nn.Module, config: RunConfig, test: Split) -> np.ndarray:
    fabric, batch_size = make_fabric(config), config.evaluation.batch_size
    builder = _builder(test, config)
    return predict(network, builder, fabric, batch_size, config.recipe.augmentation, 0, config.seed)[0]


def _builder(split: Split, config: RunConfig) -> BatchBuilder:
    return BatchBuilder(Faces(), split, config.recipe.image_size, lambda tensor: tensor)


def _tensor(images: np.ndarray) -> torch.Tensor:
    faces = torch.from_numpy(np.array(images))  # a copy: those of a store may not be written
    return faces.unsqueeze(1) if faces.ndim == 3 else faces.permute(0, 3, 1, 2)


def _layer_name(layer: nn.Module) -> str:
    name = type(layer).__name__
    if isinstance(layer, nn.Conv2d):
        size, stride = " × ".join(map(str, layer.kernel_size)), layer.stride[0]
        return f"{name}: {layer.in_channels} to {layer.out_channels} maps, filters of {size}, stride {stride}"
    if isinstance(layer, nn.Linear):
        return f"{name}: {layer.in_features:,} numbers to {layer.out_features}"
    return name


def _flat(network: nn.Module) -> list[nn.Module]:
    parts = list(network.children())
    return [layer for part in parts for layer in _flat(part)] if parts else [network]
