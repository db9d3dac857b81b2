"""What a method is trained for on a data set, and recipes that do not fit it."""

from dataclasses import asdict

from fer_repro.config import RunConfig
from fer_repro.datasets.pairs import has_pairs
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.methods.method import Method, Task

FORGERY_CLASSES = ("real", "manipulated")


def task_of(method: Method, store: Store) -> Task:
    """Return what a method is trained for on a data set.

    Raises:
        UserError: the method has no such task, or takes other inputs.
    """
    task: Task = "expression"
    if store.has_sequences or store.has_wanted_images:
        task = "regression"
    elif has_pairs(store) and ("verification" in method.tasks or _classes_are_people(store)):
        task = "verification"
    elif store.classes == FORGERY_CLASSES:
        task = "manipulation"
    if task not in method.tasks:
        raise UserError(
            f"{store.folder}: data set '{store.manifest.name}' is for {task}, method {method.name} for "
            f"{' and '.join(method.tasks)}"
        )
    if task == "regression" and store.has_sequences != (method.inputs == "sequences"):
        holds = "sequences of measurements" if store.has_sequences else "images and what they are to become"
        raise UserError(
            f"{store.folder}: data set '{store.manifest.name}' holds {holds}, method {method.name} takes "
            f"{method.inputs}"
        )
    return task


def check_recipe(config: RunConfig, store: Store) -> None:
    """Refuse a recipe that asks of images what sequences do not have, or the other way round.

    Raises:
        UserError: naming the first such key.
    """
    recipe, where = config.recipe, f"recipe {config.recipe_name} of {config.method}"
    if not store.has_sequences:
        if recipe.image_size == 0:
            raise UserError(f"{where}: image_size is 0: expected pixels, for '{config.dataset}' holds images")
        if store.has_wanted_images and recipe.tta_copies:
            raise UserError(
                f"{where}: tta_copies is {recipe.tta_copies}: expected 0, for nothing is classified"
            )
        return
    augmentation = {
        name: value for name, value in asdict(recipe.augmentation).items() if name != "resampling"
    }
    wanted = {
        "image_size": (recipe.image_size, 0),
        "selection": (recipe.selection, "loss"),
        "targets": (recipe.targets, "labels"),
        "head": (recipe.head, "none"),
        "label_smoothing": (recipe.label_smoothing, 0.0),
        "tta_copies": (recipe.tta_copies, 0),
        "sampling.order": (recipe.sampling.order, "shuffle"),
        "sampling.validation": (recipe.sampling.validation, "uniform"),
        "distortions": (recipe.distortions, None),
        **{f"augmentation.{name}": (value, 0.0) for name, value in augmentation.items() if value is not None},
    }
    for key, (found, expected) in wanted.items():
        if found != expected:
            raise UserError(
                f"{where}: {key} is {found!r}: expected {expected or 0!r}, for '{config.dataset}' holds "
                "sequences of measurements with numbers to predict"
            )


def _classes_are_people(store: Store) -> bool:
    return bool(store.samples.groupby("label")["subject"].nunique().max() == 1)


def check_sizes(method: Method, config: RunConfig, store: Store) -> None:
    """Refuse to resize images for a method that reads traces in the pixels as they are stored.

    Raises:
        UserError: naming the recipe and both sizes.
    """
    sides, size = {store.manifest.height, store.manifest.width}, config.recipe.image_size
    if method.as_stored and not config.smoke and sides != {size}:
        raise UserError(
            f"recipe {config.recipe_name} of {config.method}: image_size is {size}, but {store.folder} holds "
            f"images of {store.manifest.height} x {store.manifest.width} pixels, and resizing would remove "
            f"what {config.method} reads; set recipe.image_size to their side"
        )
