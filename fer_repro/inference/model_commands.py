"""The commands about models themselves: models, import, export, doctor."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from fer_repro.errors import UserError, one_line

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]


def models(as_json: Json = False) -> None:
    """List the available models: trained runs, imported and exported files, those of the repository.

    Columns: what --model takes, task, val (accuracy on the validation part), size of the file or weights.

    Example: fer-repro models
    """
    import json

    from fer_repro.inference.catalogue import list_graphs, list_models
    from fer_repro.terminal import print_table

    found = [*list_models(), *list_graphs()]
    if as_json:
        print(json.dumps([each.as_dict() for each in found]))
        return
    if not found:
        print("no models in runs/ and models/: dvc repro, fer-repro train or fer-repro import makes some")
        return
    rows = [
        [
            one_line(each.path),
            each.task,
            each.trained_on,
            "" if each.val_accuracy is None else f"{each.val_accuracy:.1%}",
            f"{each.megabytes:.1f}",
        ]
        for each in found
    ]
    print_table(("model", "task", "trained on", "val", "MB"), rows, right=("val", "MB"))


def import_checkpoint(
    path: Annotated[Path | None, typer.Argument(help="The authors' checkpoint.", metavar="PATH")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The file to write; models/NAME.safetensors.")
    ] = None,
    variant: Annotated[
        str, typer.Option("--variant", help="Which network; recognised by its keys if left out.")
    ] = "",
    padding: Annotated[
        str,
        typer.Option(
            "--padding", help="Of an EfficientNet: same, static380-v063, static380-v071, symmetric."
        ),
    ] = "",
    classes: Annotated[str, typer.Option("--classes", help="Names in order, by commas, if others.")] = "",
    list_all: Annotated[bool, typer.Option("--list", help="Name the known networks.")] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Convert a paper's own checkpoint into a safetensors file with a model card.

    Nothing in the checkpoint is executed; missing, unexpected and reshaped keys are refused and counted.

    Example: fer-repro import Z_resmasking_dropout1_rot30 --to models/rmn.safetensors
    """
    import json

    from fer_repro.terminal import doing

    if list_all:
        from fer_repro.inference.checkpoints import variants

        known = variants()
        print(json.dumps(known) if as_json else "\n".join(f"{known[name]:13} {name}" for name in known))
        return
    if path is None:
        raise UserError("which checkpoint? fer-repro import PATH; --list names the known networks")
    with doing("loading PyTorch"):
        from fer_repro.inference.checkpoints import import_official
    target = to or Path("models") / f"{path.stem.replace('.', '_')}.safetensors"
    names = tuple(name.strip() for name in classes.split(",")) if classes else ()
    done = import_official(path, target, variant, padding, names, force)
    if as_json:
        print(
            json.dumps({"model": str(target), "card": str(done.card), "tensors": done.tensors} | done.facts)
        )
        return
    print(f"{one_line(str(path))}: {done.facts['network']}: {done.tensors} tensors, every key matched")
    if filled := done.facts["filled_in"]:
        print(
            f"filled in: {filled} x num_batches_tracked, unknown before torch 0.4.1; no answer depends on it"
        )
    print(f"classes: {', '.join(done.facts['classes'])}")
    for written in (target, done.card):
        print(f"written: {one_line(str(written))}")


def export(
    model: Annotated[
        str, typer.Argument(help="A run's folder, a model file or a checkpoint.", metavar="MODEL")
    ],
    to: Annotated[
        Path, typer.Option("--to", help="A .onnx or .safetensors file, or a folder for both and the card.")
    ],
    page: Annotated[
        bool,
        typer.Option(
            "--page", help="Write a page instead that runs the model in a browser; --to is its folder."
        ),
    ] = False,
    detector: Annotated[
        str, typer.Option("--detector", help="Of a page: yunet:FILE; without it the visitor draws a box.")
    ] = "",
    onnxruntime_web: Annotated[
        str,
        typer.Option(
            "--onnxruntime-web",
            help="Of a page: this npm package as a file or folder; fetched by npm if left out.",
            envvar="FER_REPRO_ONNXRUNTIME_WEB",
            metavar="PATH",
        ),
    ] = "",
    push: Annotated[
        str, typer.Option("--push", help="Then upload the folder to the hub.", metavar="OWNER/NAME")
    ] = "",
    public: Annotated[bool, typer.Option("--public", help="A new hub model is seen by everybody.")] = False,
    variant: Annotated[str, typer.Option("--variant", help="Of an official checkpoint.")] = "",
    fold: Annotated[int, typer.Option("--fold", help="Of a run tested fold by fold.", min=0)] = 0,
    colour: Annotated[str, typer.Option("--colour", help="grey or rgb, if a run's data are missing.")] = "",
    face_size: Annotated[int, typer.Option("--face-size", help="Side of their images.", min=0)] = 0,
    half: Annotated[
        bool, typer.Option("--half", help="Round weights to float16; the card has what it changes.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a model as one file: ONNX, checked against torch, or safetensors with its card; or as a page.

    With --page the folder shows faces, probabilities and what the network weighs, of an image, a camera or a
    clip, computed in the visitor's browser; nothing is uploaded. To see it: python -m http.server --directory
    FOLDER, then http://localhost:8000.

    Example: fer-repro export runs/synthetic/rmn/0/masked --to models/rmn
    """
    import json

    from fer_repro.terminal import doing

    if page and (push or half):
        raise UserError(f"--{'push' if push else 'half'} is for models, not for --page; export twice")
    if detector and not page:
        raise UserError(f"--detector {detector} is for --page: a model is exported without a detector")
    if page:
        with doing("loading PyTorch"):
            from fer_repro.inference.browser_page import export_page
        made = export_page(model, to, onnxruntime_web, detector, variant, fold, colour, face_size, force)
        print(json.dumps(made) if as_json else _page_made(made))
        return
    if push and to.suffix:
        raise UserError(f"--push needs a folder with card and weights: --to is {to}")
    with doing("loading PyTorch"):
        from fer_repro.inference.export import export_model
    done = export_model(model, to, variant, fold, colour, face_size, force, half)
    if push:
        from fer_repro.inference.hub import push_model as upload

        done["hub"] = upload(to, push, private=not public)
    if as_json:
        print(json.dumps(done))
        return
    for name in ("safetensors", "card", "onnx", "hub"):
        if name in done:
            print(f"{name}: {one_line(str(done[name]))}")
    if "onnx" in done:
        print(_compared(done))
    if "test_samples" in done.get("rounding", {}):
        print(_rounded(done["rounding"]))


def _page_made(done: dict[str, Any]) -> str:
    place = one_line(done["page"])
    return (
        f"page: {place} ({done['bytes'] / 1e6:.1f} MB)\n{_compared(done)}\n"
        f"to see it: python -m http.server --directory {shlex.quote(place)}, then http://localhost:8000"
    )


def _compared(done: dict[str, Any]) -> str:
    """Describe how near the graph's numbers are to PyTorch's."""
    count, probabilities = done["faces compared"], done["largest difference of probabilities"]
    lines = [
        f"graph against PyTorch, {count} synthetic faces and {count} images of noise, largest difference:"
    ]
    lines += [] if probabilities is None else [f"  of probabilities  {probabilities:.1e}"]
    lines += [
        f"  of any output     {done['largest difference']:.1e} (outputs reach {done['largest output']:.3g})"
    ]
    return "\n".join(lines)


def _rounded(found: dict[str, Any]) -> str:
    return (
        f"weights in float16: {found['accuracy_after']:.2%} of {found['test_samples']} test samples right, "
        f"{found['accuracy_before']:.2%} before; {found['answers_changed']} answers differ"
    )


def doctor(as_json: Json = False) -> None:
    """Examine environment, data and models. Exit code 1: a required component is missing.

    Example: fer-repro doctor
    """
    import json

    from fer_repro.inference.doctor import as_dict, examine_machine
    from fer_repro.terminal import print_table

    findings = examine_machine()
    if as_json:
        print(json.dumps(as_dict(findings)))
    else:
        rows = [[each.state, each.part, each.name, one_line(each.message)] for each in findings]
        print_table(("state", "part", "name", "found"), rows)
    raise typer.Exit(1 if any(each.state == "missing" for each in findings) else 0)


def register_model_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the command line."""
    app.command("models", rich_help_panel="Use models")(models)
    app.command("import", rich_help_panel="Use models")(import_checkpoint)
    app.command("export", rich_help_panel="Use models")(export)
    app.command("doctor", rich_help_panel="Data and environment")(doctor)
