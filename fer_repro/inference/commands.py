"""The commands that use models: predict, webcam, compare-faces, detect-manipulation."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_repro.errors import UserError, one_line

if TYPE_CHECKING:
    import pandas as pd

    from fer_repro.inference.model import Looking, Model

SOME_FAILED = 3
"""Exit code where some inputs could not be read or were not answered, and all others are done."""
SECONDS = 5.0  # between two lines of progress

ModelPath = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A run's folder, a model file, or hf://owner/name; chosen and printed if left out.",
    ),
]
Runtime = Annotated[
    str,
    typer.Option("--runtime", help="torch or onnx, which needs no torch; taken from the model if left out."),
]
Device = Annotated[str, typer.Option("--device", help="For torch: auto, cpu, cuda ...")]
Detector = Annotated[
    str,
    typer.Option(
        "--detector",
        help="cascade; yunet:FILE, for rotated faces (yunet: FER_REPRO_YUNET names the file); none: images "
        "are faces; left,top,right,bottom: one fixed box.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]
Copies = Annotated[
    Path | None,
    typer.Option(
        "--annotate",
        help="Annotate copies, in this folder; of a video all frames are decoded and written.",
        metavar="OUT",
    ),
]
Boxes = Annotated[
    Path | None, typer.Option("--boxes", help="Boxes of an earlier prediction instead of searching.")
]
Frames = Annotated[
    int, typer.Option("--frames", help="Of a video N equally spaced frames; 0: by --every.", min=0)
]
Variant = Annotated[
    str, typer.Option("--variant", help="Of an official checkpoint; see fer-repro import --list.")
]
FaceSize = Annotated[
    int, typer.Option("--face-size", help="Side of the run's images, if its data are missing.", min=0)
]
Faces = Annotated[str, typer.Option("--faces", help="Which of an image: all, largest or most_confident.")]


def predict_command(
    paths: Annotated[list[str], typer.Argument(help="Images, videos, folders or globs.", metavar="PATH...")],
    model: ModelPath = "",
    csv: Annotated[str, typer.Option("--csv", help="Write a CSV file; - prints it.")] = "",
    json: Annotated[str, typer.Option("--json", help="Write a JSON file; - prints it.")] = "",
    parquet: Annotated[str, typer.Option("--parquet", help="Write a Parquet file.")] = "",
    annotated: Copies = None,
    wide: Annotated[bool, typer.Option("--wide", help="Print all columns of the table.")] = False,
    runtime: Runtime = "",
    device: Device = "auto",
    detector: Detector = "cascade",
    faces: Faces = "",
    boxes: Boxes = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Faces at once; 0: by memory.", min=0)] = 0,
    every: Annotated[int, typer.Option("--every", help="Of a video every N-th frame.", min=1)] = 1,
    frames: Frames = 0,
    window: Annotated[int, typer.Option("--window", help="Most frames of a clip (FAN).", min=1)] = 128,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not continue a killed call.")] = False,
    force: Force = False,
    variant: Variant = "",
    colour: Annotated[str, typer.Option("--colour", help="grey or rgb, if a run's data are missing.")] = "",
    face_size: FaceSize = 0,
) -> None:
    """Predict all faces of images and videos.

    Each PATH gives all its files, also those that another one named: an image named twice has its rows twice.
    Files of a folder or glob are sorted with the numbers in their names by value.

    Without --csv, --json, --parquet or --annotate a table is printed: file, face, answer, confidence and the
    network's training data; --wide prints all columns, as files have them. A killed call continues.

    What the network was trained on is printed on stderr, in the column trained_on and in annotated copies.

    Exit code 0: all done. 3: some inputs could not be read, or the network's answer was not finite;
    they are named on stderr, all others are done.

    Example: fer-repro predict photos/ clip.mp4 --csv found.csv --annotate seen/
    """
    from fer_repro.inference.annotate import annotate, copies_of
    from fer_repro.inference.model import Looking
    from fer_repro.inference.sources import list_inputs

    outs = _outs(csv, json, parquet, force)
    inputs = list_inputs(list(paths))
    sources = [item.as_posix() if isinstance(item, Path) else item.source for item in inputs]
    _note_repetitions(sources)
    if annotated is not None:
        copies_of(list(dict.fromkeys(sources)), annotated, force)
    (opened,) = _open([model], runtime, device, variant, colour, face_size)
    looking = Looking(detector, faces, boxes, batch_size, every, frames, window)
    keep = not outs or annotated is not None or "-" in (csv, json)
    table, failed = _predicted(opened, inputs, looking, outs, keep, not fresh)
    if "-" in (csv, json):
        _print(table, csv == "-")
    elif not outs and annotated is None and len(table):
        _show(table, wide)
    if annotated is not None:
        for path in annotate(table, annotated, force):
            print(f"annotated: {one_line(str(path))}", file=sys.stderr)
    raise typer.Exit(_report(failed))


def _outs(csv: str, json: str, parquet: str, force: bool) -> list[Path]:
    """Give the files to write; refuse names of another kind, and files that are there unless forced."""
    from fer_repro.files import keep_existing
    from fer_repro.inference.journal import KINDS

    named = [
        (name, kind) for name, kind in zip((csv, json, parquet), KINDS, strict=True) if name not in ("", "-")
    ]
    for name, kind in named:
        if Path(name).suffix != kind:
            raise UserError(f"{name}: expected a name that ends in {kind}")
    outs = [Path(name) for name, _ in named]
    keep_existing(outs, force)
    return outs


def _predicted(
    model: "Model", inputs: list[Any], looking: "Looking", outs: list[Path], keep: bool, resume: bool
) -> tuple["pd.DataFrame", dict[str, str]]:
    """Predict into files or memory; the table is empty where it is not needed."""
    from fer_repro.inference.journal import predict_to
    from fer_repro.inference.model import as_table
    from fer_repro.inference.prediction_rows import note_missing_faces

    chunks = predict_to(outs, model, inputs, looking, resume) if outs else model.stream(inputs, looking)
    rows: list[dict[str, Any]] = []
    failed = _follow(note_missing_faces(chunks), rows if keep and not outs else None)
    table = _read_back(outs[0]) if outs and keep else as_table(rows, model.spec, {}, model.backend.outputs)
    return table, failed


def _show(table: "pd.DataFrame", wide: bool) -> None:
    from fer_repro.inference.journal import all_columns, main_columns
    from fer_repro.terminal import print_table

    if wide:
        print(all_columns(table))
    else:
        print_table(*main_columns(table), right=("confidence",))


def webcam(
    model: ModelPath = "",
    camera: Annotated[int, typer.Option("--camera", help="Its number, from 0.", min=0)] = 0,
    seconds: Annotated[float, typer.Option("--seconds", help="How long; 0: until Ctrl-C.", min=0)] = 0.0,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a CSV file.")] = None,
    annotated: Annotated[
        Path | None, typer.Option("--annotate", help="Write an annotated .mp4.", metavar="OUT")
    ] = None,
    runtime: Runtime = "",
    device: Device = "auto",
    detector: Detector = "cascade",
    force: Force = False,
) -> None:
    """Predict what a camera sees, a line per face.

    Example: fer-repro webcam --seconds 10 --csv seen.csv --annotate seen.mp4
    """
    import pandas as pd

    from fer_repro.files import atomic_write, keep_existing
    from fer_repro.inference.annotate import label_of
    from fer_repro.inference.model import Looking
    from fer_repro.inference.webcam import camera_frames, watch

    keep_existing([path for path in (csv, annotated) if path is not None], force)
    frames = camera_frames(camera, seconds)
    first = next(frames)  # a missing camera is reported before a model is opened
    (opened,) = _open([model], runtime, device)
    tables = []
    try:
        for table in watch(opened, _chain(first, frames), Looking(detector), annotated):
            tables.append(table if csv is not None else table.iloc[:0])
            for _, row in table.iterrows():
                print(f"{row['frame']}: {row['note'] or label_of(row)}", flush=True)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    if csv is not None and tables:
        with atomic_write(csv) as temporary:
            pd.concat(tables).to_csv(temporary, index=False, lineterminator="\n")


def compare_faces(
    first: Annotated[Path, typer.Argument(help="An image.", metavar="A")],
    second: Annotated[Path, typer.Argument(help="Another.", metavar="B")],
    model: ModelPath = "",
    runtime: Runtime = "",
    device: Device = "auto",
    detector: Detector = "cascade",
    as_json: Json = False,
) -> None:
    """Check whether two images show one person (`fer-repro check-results` is for results).

    The model is one of adacos or p2sgrad; its threshold was chosen on the run's validation pairs.

    Example: fer-repro compare-faces a.jpg b.jpg --model runs/synthetic_pairs/adacos/0/dynamic
    """
    import json
    from dataclasses import asdict

    (opened,) = _open([model], runtime, device, task="verification")
    found = opened.verify(first, second, detector=detector)
    if as_json:
        print(json.dumps(asdict(found)))
        return
    answers = {None: "no threshold was measured", True: "one person", False: "two people"}
    threshold = "" if found.threshold is None else f" (threshold {found.threshold:.3f})"
    print(f"cosine {found.score:.3f}{threshold}: {answers[found.same]} (trained on {found.trained_on})")


def detect_command(
    videos: Annotated[list[Path], typer.Argument(help="Videos or images.", metavar="VIDEO...")],
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="A network; several for an ensemble; the paper's ensemble if left out."
        ),
    ] = None,
    frames: Annotated[int, typer.Option("--frames", help="Equally spaced frames of a video.", min=1)] = 32,
    runtime: Runtime = "",
    device: Device = "auto",
    detector: Detector = "cascade",
    as_json: Json = False,
) -> None:
    """Score videos by an ensemble of networks trained on manipulated faces.

    The score is P(manipulated), from the mean logit over networks and frames; exit codes as of predict.

    Example: fer-repro detect-manipulation clip.mp4 -m runs/ffpp/efficientnet/0/plain -m ...
    """
    import json

    from fer_repro.inference.manipulation import detect_manipulation as detect

    members = _open(models or [], runtime, device, task="manipulation")
    found, failed = [], {}
    for video in videos:
        try:
            found.append(detect(video, members, frames, detector=detector))
        except UserError as error:
            failed[str(video)] = str(error)
    if as_json:
        shown = [
            {"source": each.source, "score": each.score, "manipulated": each.manipulated}
            | {
                "trained_on": each.trained_on,
                "networks": each.networks,
                "frames": json.loads(each.frames.to_json(orient="records")),
            }
            for each in found
        ]
        print(json.dumps(shown))
    for each in [] if as_json else found:
        word = "manipulated" if each.manipulated else "real"
        message = f"{each.score:.4f}  {word:12} {len(each.frames)} frames  {each.source}"
        print(f"{message}  (trained on {each.trained_on})")
    raise typer.Exit(_report(failed))


def _open(
    models: list[str],
    runtime: str,
    device: str,
    variant: str = "",
    colour: str = "",
    face_size: int = 0,
    task: str = "expression",
) -> "list[Model]":
    """Open networks, choosing some where none is named, and print what they were trained on."""
    from fer_repro.inference.catalogue import warning_of
    from fer_repro.inference.loading import load

    if colour not in ("", "grey", "rgb"):
        raise UserError(f"--colour is '{colour}'; expected grey or rgb")
    if not any(models):
        from fer_repro.inference.choosing import choose_models

        choice = choose_models(task)
        models = list(choice.paths)
        print(choice.text(), file=sys.stderr)
    shade: Any = colour or None
    opened = [load(each, runtime, device, variant, colour=shade, face_size=face_size) for each in models]
    if warning := warning_of((each.spec.name, each.trained_on) for each in opened):
        print(warning, file=sys.stderr, flush=True)
    return opened


def _note_repetitions(sources: list[str]) -> None:
    more = len(sources) - len(set(sources))
    if more:
        print(f"note: {more} of {len(sources)} inputs are repeated and get rows again", file=sys.stderr)


def _follow(chunks: Any, rows: list[dict[str, Any]] | None) -> dict[str, str]:  # noqa: ANN401 - of chunks
    """Run through chunks; print progress every few seconds, and keep what failed."""
    failed: dict[str, str] = {}
    count, said = 0, time.monotonic()
    for chunk in chunks:
        count += len(chunk.rows)
        failed |= {each.source: each.reason for each in chunk.failed}
        if rows is not None:
            rows += chunk.rows
        if chunk.rows and time.monotonic() - said > SECONDS:
            said, last = time.monotonic(), chunk.rows[-1]
            frame = "" if last["frame"] is None else f" frame {last['frame']}"
            print(f"{count} rows, at {last['source']}{frame}", file=sys.stderr, flush=True)
    return failed


def _read_back(path: Path) -> "pd.DataFrame":
    from fer_repro.inference.faces_in import read_table

    return read_table(path)


def _print(table: "pd.DataFrame", as_csv: bool) -> None:
    if as_csv:
        from fer_repro.inference.journal import spreadsheet_cell

        for name in table:
            table[name] = [spreadsheet_cell(str(name), value) for value in table[name]]
        table.to_csv(sys.stdout, index=False, float_format="%.9g", lineterminator="\n")
    else:
        print(table.to_json(orient="records", double_precision=9))


def _report(failed: dict[str, str]) -> int:
    for source, reason in failed.items():
        message = reason if one_line(source) in reason else f"{source}: {reason}"
        print(f"failed: {one_line(message)}", file=sys.stderr)
    return SOME_FAILED if failed else 0


def _chain(first: Any, others: Any) -> Any:  # noqa: ANN401 - images
    yield first
    yield from others


def register_commands(app: typer.Typer) -> None:
    """Add the commands of this file and of ``model_commands`` to the command line."""
    from fer_repro.inference import model_commands

    app.command("predict", rich_help_panel="Use models")(predict_command)
    app.command("webcam", rich_help_panel="Use models")(webcam)
    app.command("compare-faces", rich_help_panel="Use models")(compare_faces)
    app.command("detect-manipulation", rich_help_panel="Use models")(detect_command)
    model_commands.register_model_commands(app)
