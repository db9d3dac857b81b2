"""The ``fer-repro`` command. It stays thin: each command imports what it needs when it runs."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_repro.errors import UserError, print_error
from fer_repro.inference.commands import register_commands as register_inference

if TYPE_CHECKING:
    from fer_repro.datasets.store import Store
    from fer_repro.params import Params as ReadParams

RUNS, DATA = "Train and reproduce", "Data and environment"  # headings of the help
app = typer.Typer(
    name="fer-repro",
    help="Reproduce papers on facial expression recognition, and believe the result.",
    epilog="Begin with: fer-repro doctor. Each command has an example: fer-repro predict --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PAGE = Path("reports/index.html")  # what the pipeline writes, anew each time
data = typer.Typer(no_args_is_help=True)
app.add_typer(data, name="data", help="Add data sets of your own; examine them.", rich_help_panel=DATA)

Stores = Annotated[Path, typer.Option("--store", help="Folder of added sets; git and DVC ignore it.")]
Project = Annotated[
    Path,
    typer.Option(
        "--project", help="Folder of runs/, prepared/, results/measured/; `fer-repro train` fills scratch/."
    ),
]
Params = Annotated[Path, typer.Option("--params", help="The project's params.yaml.")]
TrainedOn = Annotated[
    str, typer.Argument(help="Its data set; fer-repro data list names them.", metavar="DATASET")
]
DatasetName = Annotated[str, typer.Argument(help="The data set, e.g. fer2013.", metavar="NAME")]


def _print_version(wanted: bool) -> None:
    if wanted:
        import fer_repro

        print(f"fer-repro {fer_repro.__version__}")
        raise typer.Exit


@data.command("add")
def data_add(
    name: DatasetName,
    path: Annotated[Path, typer.Argument(help="The publisher's file or folder.", metavar="PATH")],
    store: Stores = Path("stores"),
    force: Annotated[bool, typer.Option("--force", help="Replace the set if it is there.")] = False,
    size: Annotated[
        int, typer.Option("--size", help="Side of the stored images, which are cut to a square.", min=0)
    ] = 0,
    detector: Annotated[
        str, typer.Option("--detector", help="Of videos: cascade, or yunet:FILE (FER_REPRO_YUNET names it).")
    ] = "",
    enable: Annotated[
        bool, typer.Option("--enable", help="Put the set into params.yaml, for dvc repro and make reproduce.")
    ] = False,
    params: Params = Path("params.yaml"),
) -> None:
    """Check a data set and convert it into stores/NAME, atomically.

    \b
    NAME       PATH holds (details in docs/data.md)
    fer2013    fer2013.csv, icml_face_data.csv, or train/CLASS and test/CLASS
    ferplus    fer2013.csv, fer2013new.csv, FER2013{Train,Valid,Test}/label.csv
    ckplus48   anger/SXXX_YYY_N.png ... surprise/
    ckplus     cohn-kanade-images/SXXX/YYY/ and Emotion/SXXX/YYY/
    rafdb      basic/Image/aligned/ and basic/EmoLabel/
    affectnet  train_set/ and val_set/, or Manually_Annotated_Images/ and lists
    sfew       Train/CLASS and Val/CLASS
    afew       Train_AFEW/CLASS/VIDEO/ and Val_AFEW/CLASS/VIDEO/ (frames)
    folder     CLASS/, or train/CLASS and test/CLASS; also folder-ANYNAME
    lfw        PERSON/PERSON_NNNN.jpg, pairs.txt, pairsDev{Train,Test}.txt
    identities PERSON/ and, if there is one, pairs.txt or pairs.csv
    ijb        meta/ijbc_*.txt and loose_crop/; also ijb-b, ijb-c
    megaface   {facescrub,megaface}{_lst,_images/,_noises.txt}
    ffpp       {original,manipulated}_sequences/ and {train,val,test}.json
    dfdc       dfdc_train_part_N/ with metadata.json and videos
    celebdf    Celeb-real/, YouTube-real/, Celeb-synthesis/, the list

    Example: fer-repro data add fer2013 ~/Downloads/fer2013.csv --enable
    """  # noqa: D301 - the b keeps the lines apart
    from fer_repro.datasets.adding import add_dataset, examine
    from fer_repro.datasets.dataset import load_dataset

    if enable:
        _params(params)  # a mistake there is reported before anything is converted
    added = add_dataset(name, path, store, force, size, detector or _finder(name, params))
    typer.echo(examine(added).text())
    if added.manifest.note:
        typer.echo(f"\nNote: {added.manifest.note}")
    typer.echo(f"\n{load_dataset(name).terms}\nWritten: {added.folder}")
    typer.echo(_next_step(added, params, enable))


@data.command("doctor")
def data_doctor(
    name: DatasetName,
    store: Stores = Path("stores"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Examine an added set: counts, labels, duplicates, blank images, leakage between splits.

    Exit code 0: everything is as in the official set. 1: something differs. 2: the set cannot be read.

    Example: fer-repro data doctor fer2013
    """
    from fer_repro.datasets.adding import examine, open_added

    opened = open_added(name, store, verify=True)
    found = examine(opened)
    typer.echo(found.as_json().rstrip() if as_json else found.text())
    if opened.manifest.note and not as_json:
        typer.echo(f"\nNote: {opened.manifest.note}")
    raise typer.Exit(1 if found.differences else 0)


@data.command("list")
def data_list(store: Stores = Path("stores"), params: Params = Path("params.yaml")) -> None:
    """List the data sets: which can be added, which are there, which the pipeline uses.

    Example: fer-repro data list
    """
    from fer_repro.datasets.adding import added_names, open_added
    from fer_repro.datasets.dataset import is_addable
    from fer_repro.params import dataset_names

    used = _params(params).pipeline.datasets
    names = sorted({*dataset_names(), *added_names(store), *used})
    width = max(map(len, names)) + 1
    for name in names:
        if not is_addable(name):
            state = f"part of the project, {used[name]}"
        elif not (store / name).exists():
            state = f"not added yet: fer-repro data add {name} PATH"
        else:
            try:
                state = f"{len(open_added(name, store).samples)} samples in {store / name}"
            except UserError as error:
                state = f"damaged: {error}"
        typer.echo(f"{name:{width}}{'in the pipeline' if name in used else '':17}{state}")


@app.command("train", rich_help_panel=RUNS)
def train(
    method: Annotated[str, typer.Argument(help="A method of params.yaml, e.g. rmn.", metavar="METHOD")],
    dataset: TrainedOn,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of initial weights, order and augmentation.", min=0)
    ] = 0,
    recipe: Annotated[
        str,
        typer.Option("--recipe", help="A recipe of the method; the one named like the data set if left out."),
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change a number, e.g. -s recipe.epochs=3."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the runs; the pipeline's own is runs/.")
    ] = Path("scratch/runs"),
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A few samples and one epoch, to try the pipeline.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a finished run.")] = False,
    params: Params = Path("params.yaml"),
) -> None:
    """Train all arms of one method with one seed, without DVC and notebooks; a killed run continues.

    Writes OUT/DATASET/METHOD/SEED/ARM for `fer-repro evaluate` and `fer-repro predict --model`.

    Several processes share a run: torchrun --nproc-per-node 2 -m fer_repro.cli train rmn synthetic

    Example: fer-repro train rmn fer2013 --recipe paper -s runtime.device=cuda -s recipe.precision=bf16-mixed
    """
    from fer_repro.files import parse_pairs
    from fer_repro.pipeline.own_runs import train_own

    overrides = parse_pairs(settings or [], "-s")
    report = train_own(params, method, dataset, seed, out, recipe, overrides, smoke, force)
    if report is None:
        return
    from fer_repro.pipeline.outcome import metric_line

    for arm, folder in report.folders.items():
        typer.echo(f"{arm:17} {metric_line(report.metrics[arm])}   {folder}")


@app.command("evaluate", rich_help_panel=RUNS)
def evaluate(
    method: Annotated[str, typer.Argument(help="A method of params.yaml, e.g. rmn.", metavar="METHOD")],
    dataset: TrainedOn,
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seed", help="Once for each seed; those of params.yaml if left out."),
    ] = None,
    project: Project = Path("scratch"),
    params: Params = Path("params.yaml"),
    force: Annotated[
        bool, typer.Option("--force", help="Write over results of runs that are no longer there.")
    ] = False,
) -> None:
    """Compare the arms of trained runs over seeds and test samples; writes results/measured/DATASET/METHOD.

    Prints means over seeds and their standard deviations (sd); the files have intervals and all measures.

    Example: fer-repro evaluate rmn synthetic --seed 0 --seed 1 --seed 2
    """
    from fer_repro.evaluation.summary import evaluate_runs, main_rows, write_results
    from fer_repro.pipeline.own_runs import keep_results
    from fer_repro.runs.folder import open_runs
    from fer_repro.terminal import print_table

    trained = open_runs(params, method, dataset, project / "runs", project / "prepared", seeds or ())
    found = evaluate_runs(trained)
    folder = project / "results/measured" / dataset / method
    keep_results(folder, found.rows, force)
    write_results(folder, found)
    table = main_rows(found)
    print_table(table.columns.tolist(), table.to_numpy().tolist(), right=("mean", "seeds", "sd over seeds"))
    typer.echo(f"Written: {folder}")


@app.command("sweep", rich_help_panel=RUNS)
def sweep(
    workers: Annotated[
        int, typer.Option("--workers", help="Runs at once; 0 decides by the cores or the cluster.", min=0)
    ] = 0,
    ray: Annotated[
        str,
        typer.Option("--ray", help="Head of a Ray cluster; 'local' starts Ray here.", metavar="ADDRESS"),
    ] = "",
    gpus: Annotated[
        float, typer.Option("--gpus", help="GPUs of a training run on Ray: a share below 1, or 1, 2, ...")
    ] = 1.0,
    pull: Annotated[
        str, typer.Option("--pull", help="Fetch this first, such as data.dvc.", metavar="TARGET")
    ] = "",
    params: Params = Path("params.yaml"),
) -> None:
    """Bring the pipeline up to date: many runs at once, on this machine or on a Ray cluster.

    Ctrl-C ends all of them; the same command continues. See docs/scale_out.md.

    Example: fer-repro sweep --ray 10.0.0.1:6379 --pull data.dvc
    """
    from fer_repro.pipeline.sweep import sweep as bring_up_to_date

    raise typer.Exit(bring_up_to_date(params, workers, pull, ray, gpus))


@app.command("record", rich_help_panel=RUNS)
def record(
    name: Annotated[str, typer.Argument(help="Name of the record, e.g. fer2013-rmn-cpu.", metavar="NAME")],
    dataset: Annotated[str, typer.Argument(help="The data set, e.g. fer2013.", metavar="DATASET")],
    method: Annotated[str, typer.Argument(help="The method, e.g. rmn.", metavar="METHOD")],
    note: Annotated[str, typer.Option("--note", help="What a reader should know about this run.")] = "",
    half: Annotated[bool, typer.Option("--half", help="Runs of half a recipe's epochs, to compare.")] = False,
    keep_runs: Annotated[
        bool,
        typer.Option(
            "--keep-runs", help="Keep predictions and histories, too: a record that grows by seeds."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the record if it is there.")] = False,
    project: Project = Path(),
    params: Params = Path("params.yaml"),
) -> None:
    """Copy measured rows to results/records/NAME, with commit, recipe, machine and time.

    Example: fer-repro record fer2013-rmn-cpu fer2013 rmn
    """
    from fer_repro.pipeline.record import record_own
    from fer_repro.report.records import read_record

    kinds = {"force": force, "half": half, "keep_runs": keep_runs}
    folder = record_own(name, dataset, method, params, project, note, **kinds)
    typer.echo(f"written: {folder}")
    if reason := read_record(folder / "record.json").get("no_commit"):
        typer.echo(f"note: the record names no commit: {reason}", err=True)


@app.command("check-results", rich_help_panel=RUNS)
def check_results() -> None:
    """Check results in git against dvc.lock, and fresh ones against those in git; exit code 1 if they differ.

    Nothing is trained. Rows that differ are printed, and whether by more than seeds do.

    Example: fer-repro check-results
    """
    from fer_repro.pipeline.check_results import main as check

    raise typer.Exit(check([]))


@app.command("verify", hidden=True)
def verify() -> None:
    """Check results: the earlier name of `check-results`, for one release."""
    typer.echo("note: `fer-repro verify` is now `fer-repro check-results`", err=True)
    check_results()


@app.command("report", rich_help_panel=RUNS)
def report(
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = PAGE,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write the report from the files that are there: one HTML page that needs no network access.

    Example: fer-repro report --out /tmp/report.html
    """
    from fer_repro.files import keep_existing
    from fer_repro.terminal import doing

    keep_existing([out] if out != PAGE else [], force)
    with doing("loading what draws figures"):
        from fer_repro.report.html import report_main as write
    raise typer.Exit(write(["--out", str(out)]))


register_inference(app)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Reproduce papers on facial expression recognition, and believe the result."""


def _finder(name: str, params: Path) -> str:
    """Name what params.yaml sets to find the faces of videos; "" for the default and for other sets."""
    from fer_repro.datasets.dataset import load_dataset
    from fer_repro.datasets.yunet import CASCADE

    if not load_dataset(name).finds_faces or not params.exists():
        return ""
    return _params(params).detector.removeprefix(CASCADE)


def _params(params: Path) -> "ReadParams":
    from fer_repro.params import read_params

    return read_params(params)


def _next_step(added: "Store", params: Path, enable: bool) -> str:
    """Report how to make the pipeline train on a set that was added, or do it."""
    from fer_repro.datasets.prepare import fitting_tasks, untrainable
    from fer_repro.params import enable_dataset

    name, manifest = added.manifest.name, (added.folder / "manifest.json").as_posix()
    tasks = fitting_tasks(added)
    if not tasks:
        return f"No stage trains on it: {untrainable(added)}"
    if not params.exists():
        return f"Next: fer-repro train METHOD {name}, in a folder with params.yaml"
    if enable and enable_dataset(params, name, tasks, manifest):
        return f"{params}: added to {' and '.join(f'pipeline.{task}' for task in tasks)}\nNext: dvc repro"
    runs = _params(params).pipeline.runs
    if all((name, task) in {(dataset, its) for (dataset, _), its in runs.items()} for task in tasks):
        return "Next: dvc repro"
    lists = "".join(f"\n  to pipeline.{task}.datasets: {name}" for task in tasks)
    return (
        f"Next: in {params} add\n  to pipeline.datasets: {{{name}: {manifest}}}{lists}\n"
        "(with --enable this command does it), then run: dvc repro"
    )


def main() -> None:
    """Run the command; a user's mistake is one line on stderr and exit code 2.

    Characters outside a terminal's encoding are escaped: no name may end a command whose work is done.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="fer-repro")
    except (UserError, OSError) as error:  # an OSError: no permission, no space, nothing to repair here
        print_error(error)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
