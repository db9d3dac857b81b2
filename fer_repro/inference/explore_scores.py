"""Interactive figures of networks of people and forgeries: angles to class vectors, scores over a blend."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from fer_repro.datasets.store import Store
from fer_repro.evaluation.forgery_views import true_masks
from fer_repro.figures.explored import Met, angles_explored, forgery_explored, scores_explored
from fer_repro.inference.explore import (
    Choice,
    Explorer,
    OwnFaces,
    Pose,
    SeenFace,
    Slider,
    face_controls,
    face_format,
    people_of,
)
from fer_repro.inference.moved_faces import can_render_again, look_at_images, render_like
from fer_repro.runs.loaded_run import load_run

STRENGTHS = np.linspace(0.0, 1.0, 11)
PER_KIND = 3  # manipulated videos of each kind among which one may choose


def explore_angles(folder: Path | str, store: Store) -> Explorer | None:
    """Change the face of a training person and show its angles to all class vectors.

    Args:
        folder: of a run that learned people with a cosine head, one seed and arm.
        store: the data set it was trained on.

    Returns:
        None where faces are not rendered, and so cannot be rendered again.
    """
    if not can_render_again(store):
        return None
    run, people = load_run(folder, store), people_of(store.samples, "train")
    names = list(run.classes)
    first = store.samples.drop_duplicates("subject").set_index("subject")["image"]

    def look(person: str, expression: str, intensity: float, yaw: float, occluder: str) -> SeenFace:
        pose = Pose(expression, intensity, yaw, occluder)
        image = render_like([pose.of(people[person])], store).images
        found = look_at_images(run, image)
        angles = np.degrees(found["angles"][0].astype(np.float64))
        own = names.index(person)
        others = np.delete(angles, own)
        rival = [name for name in names if name != person][int(others.argmin())]
        met = Met(image[0], np.asarray(store.images[first[rival]]), rival, float(angles[own]), others,
                  float(found["scale"][0]))  # fmt: skip
        rank = 1 + int((others < angles[own]).sum())
        words = (
            f"Person {person}, {pose.words}: {met.own:.0f} degrees from its own class vector, "
            f"{others.min():.0f} from that of {rival}; the true person is number {rank} of {len(names)}."
        )
        return SeenFace(angles_explored(met, forces="forces" in run.method.diagnostics), words)

    def stranger(images: np.ndarray) -> SeenFace:
        found = look_at_images(run, images)
        angles = np.degrees(found["angles"][0].astype(np.float64))
        nearest, second = (int(place) for place in angles.argsort()[:2])
        name = names[nearest]
        met = Met(images[0], np.asarray(store.images[first[name]]), name, float(angles[nearest]),
                  np.delete(angles, nearest), float(found["scale"][0]), stranger=True)  # fmt: skip
        words = (
            f"nearest of the {len(names)} people of the training is {name}, at {met.own:.0f} degrees; "
            f"next is {names[second]}, at {met.others.min():.0f}."
        )
        return SeenFace(angles_explored(met, forces="forces" in run.method.diagnostics), words)

    return Explorer(face_controls(people, "happy"), look, OwnFaces(face_format(store), stranger))


def explore_forgeries(folders: Mapping[str, Path | str], headline: str, store: Store) -> Explorer | None:
    """Blend a manipulation into a face with a chosen strength, and show scores and attention.

    The image lies between the real frame and the manipulated one, which have the same noise and JPEG.

    Args:
        folders: arm -> run of one seed; their logits' mean is shown as the ensemble.
        headline: the arm whose attention is plotted.
        store: the data set they were trained on.

    Returns:
        None where it is not known which frame a manipulated one was made from.
    """
    if not {"original", "forgery", "frame"} <= set(store.samples.columns):
        return None
    runs = {arm: load_run(folder, store) for arm, folder in folders.items()}
    pairs = _real_and_manipulated(store.samples)

    def look(video: str, strength: float) -> SeenFace:
        real, fake = (np.asarray(store.images[store.samples["image"].iloc[row]]) for row in pairs[video])
        steps = np.stack([_mix(real, fake, share) for share in [*STRENGTHS.tolist(), strength]])
        seen = {arm: look_at_images(run, steps) for arm, run in runs.items()}
        scores = _scores_of(seen)
        attention = seen[headline].get("attention")
        truths = true_masks(store.folder, np.array([pairs[video][1]]))
        figure = forgery_explored(
            steps[-1],
            None if attention is None else attention[-1, 0],
            None if truths is None else truths[0],
            STRENGTHS,
            {arm: values[:-1] for arm, values in scores.items()},
            strength,
        )
        said = ", ".join(f"{arm} {values[-1]:.0%}" for arm, values in scores.items())
        return SeenFace(figure, f"{video}, {strength:.0%} of the manipulation. P(manipulated): {said}.")

    def photograph(images: np.ndarray) -> SeenFace:
        seen = {arm: look_at_images(run, images) for arm, run in runs.items()}
        scores = {arm: float(values[0]) for arm, values in _scores_of(seen).items()}
        attention = seen[headline].get("attention")
        figure = scores_explored(images[0], None if attention is None else attention[0, 0], scores)
        return SeenFace(
            figure, f"P(manipulated): {', '.join(f'{arm} {value:.0%}' for arm, value in scores.items())}."
        )

    controls = (
        Choice("video", "Video", tuple(pairs), next(iter(pairs))),
        Slider("strength", "Blend", 0.0, 1.0, 0.05, 1.0),
    )
    return Explorer(controls, look, OwnFaces(face_format(store), photograph))


def _scores_of(seen: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Give P(manipulated) of each network and of all together."""
    scores = {arm: found["probabilities"][:, 1] for arm, found in seen.items()}
    return {**scores, "ensemble": ensemble(list(scores.values()))}


def ensemble(probabilities: list[np.ndarray]) -> np.ndarray:
    """Average networks as the authors' code does: the sigmoid of the mean logit.

    Args:
        probabilities: of each network, (n,) in [0, 1].
    """
    clipped = np.clip(np.stack(probabilities).astype(np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(expit(logit(clipped).mean(axis=0)))


def _mix(real: np.ndarray, fake: np.ndarray, share: float) -> np.ndarray:
    mixed = real + share * (fake.astype(np.float64) - real)
    return np.asarray(mixed.round().astype(np.uint8))


def _real_and_manipulated(samples: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Choose test videos of each kind: name -> rows of the real and of the manipulated first frame."""
    table = samples[["clip", "frame", "split", "forgery", "original"]].assign(row=np.arange(len(samples)))
    rows = table.set_index(["clip", "frame"])["row"]
    part = table[(table["split"] == "test") & (table["original"].fillna("") != "")]
    videos = part.drop_duplicates("clip").groupby("forgery", sort=True).head(PER_KIND)
    found = {}
    for video in videos.sort_values(["forgery", "clip"]).to_dict("records"):
        real = rows.loc[(video["original"], video["frame"])]
        found[f"{video['forgery']} {video['clip']}"] = (int(real), int(video["row"]))
    return found
