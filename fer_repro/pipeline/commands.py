"""The commands that train, reproduce and explain results: train, evaluate, sweep, record, why and others."""

from pathlib import Path
from typing import Annotated

import typer

from fer_repro.errors import UserError
from fer_repro.project_files import project_file

PAGE = Path("reports/index.html")  # what the pipeline writes, anew each time

Project = Annotated[
    Path,
    typer.Option(
        "--project", help="Folder of runs/, prepared/, results/measured/; `fer-repro train` fills scratch/."
    ),
]
Params = Annotated[Path, typer.Option("--params", help="The project's params.yaml.")]


def params_to_read(params: Path) -> Path:
    """Where a command reads its parameters that does not write to the project; reports the package's own."""
    found = project_file(params)
    if found != params:
        typer.echo(
            f"note: no {params} here: the package's own is read (fer-repro new FOLDER makes a project)",
            err=True,
        )
    return found


ReadParams = Annotated[
    Path,
    typer.Option(
        "--params", help="The project's params.yaml; the package's outside one.", callback=params_to_read
    ),
]
TrainedOn = Annotated[
    str, typer.Argument(help="Its data set; fer-repro data list names them.", metavar="DATASET")
]


def train_command(
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
    params: ReadParams = Path("params.yaml"),
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


def evaluate_command(
    method: Annotated[str, typer.Argument(help="A method of params.yaml, e.g. rmn.", metavar="METHOD")],
    dataset: TrainedOn,
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seed", help="Once for each seed; those of params.yaml if left out."),
    ] = None,
    project: Project = Path("scratch"),
    params: ReadParams = Path("params.yaml"),
    force: Annotated[
        bool, typer.Option("--force", help="Write over results of runs that are no longer there.")
    ] = False,
) -> None:
    """Compare the arms of trained runs over seeds and test samples; writes results/measured/DATASET/METHOD.

    Prints means over seeds and their standard deviations (sd); the files have intervals and all measures.

    Example: fer-repro evaluate rmn synthetic --seed 0 --seed 1 --seed 2
    """
    from fer_repro.evaluation.summary import evaluate_runs, main_rows, write_results
    from fer_repro.pipeline.own_runs import check_seeds, keep_results
    from fer_repro.runs.folder import open_runs
    from fer_repro.terminal import print_table

    if not seeds:
        check_seeds(params, project / "runs", dataset, method)
    trained = open_runs(params, method, dataset, project / "runs", project / "prepared", seeds or ())
    found = evaluate_runs(trained)
    folder = project / "results/measured" / dataset / method
    keep_results(folder, found.rows, force)
    write_results(folder, found)
    table = main_rows(found)
    print_table(table.columns.tolist(), table.to_numpy().tolist(), right=("mean", "seeds", "sd over seeds"))
    typer.echo(f"Written: {folder}")


def sweep_command(
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
    from fer_repro.pipeline.sweep import sweep

    raise typer.Exit(sweep(params, workers, pull, ray, gpus))


def record_command(
    name: Annotated[str, typer.Argument(help="Name of the record, e.g. fer2013-rmn-cpu.", metavar="NAME")],
    dataset: Annotated[str, typer.Argument(help="The data set, e.g. fer2013.", metavar="DATASET")] = "",
    method: Annotated[str, typer.Argument(help="The method, e.g. rmn.", metavar="METHOD")] = "",
    note: Annotated[str, typer.Option("--note", help="What a reader should know about this run.")] = "",
    half: Annotated[bool, typer.Option("--half", help="Runs of half a recipe's epochs, to compare.")] = False,
    keep_runs: Annotated[
        bool,
        typer.Option(
            "--keep-runs", help="Keep predictions and histories, too: a record that grows by seeds."
        ),
    ] = False,
    crate: Annotated[
        Path | None,
        typer.Option(
            "--crate",
            help="Write the record as an RO-Crate; without DATASET one that is there.",
            metavar="FOLDER",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace record and crate if they are there.")
    ] = False,
    project: Project = Path(),
    params: ReadParams = Path("params.yaml"),
) -> None:
    """Copy measured rows to results/records/NAME, with commit, recipe, machine and time.

    Example: fer-repro record fer2013-rmn-cpu fer2013 rmn

    Example: fer-repro record ferplus-ran --crate ferplus-ran.crate
    """
    if dataset or not crate:
        _record(name, dataset, method, params, project, note, force, half, keep_runs)
    elif note or half or keep_runs:
        raise UserError(
            "--note, --half and --keep-runs are of a new record: name its DATASET and METHOD, too"
        )
    if crate:
        from fer_repro.pipeline.crate import export_crate

        typer.echo(f"written: {export_crate(name, crate, force, project / 'results/records')}")


def _record(
    name: str, dataset: str, method: str, params: Path, project: Path, note: str, force: bool, half: bool,
    keep_runs: bool,
) -> None:  # fmt: skip
    if not (dataset and method):
        raise UserError(
            f"record {name}: of which DATASET and METHOD? (--crate FOLDER exports a record that is there)"
        )
    from fer_repro.pipeline.record import record_own
    from fer_repro.report.records import read_record

    kinds = {"force": force, "half": half, "keep_runs": keep_runs}
    folder = record_own(name, dataset, method, params, project, note, **kinds)
    typer.echo(f"written: {folder}")
    if reason := read_record(folder / "record.json").get("no_commit"):
        typer.echo(f"note: the record names no commit: {reason}", err=True)


def new_command(
    folder: Annotated[Path, typer.Argument(help="The folder to make; it may be there, empty.")],
) -> None:
    """Make a project: parameters, stages, notebooks, synthetic data, published numbers; git and DVC ready.

    In it `dvc repro` or `fer-repro sweep` trains and evaluates everything and writes the report.

    Example: fer-repro new my-study
    """
    from fer_repro.pipeline.new_project import make_project
    from fer_repro.terminal import doing

    with doing("writing the project"):
        make_project(folder)
    typer.echo(f"written: {folder}\nNext: cd {folder} && git commit -m 'Start', then fer-repro sweep")


def check_results() -> None:
    """Check results in git against dvc.lock, and fresh ones against those in git; exit code 1 if they differ.

    Nothing is trained. Rows that differ are printed, and whether by more than seeds do.

    Example: fer-repro check-results
    """
    from fer_repro.pipeline.check_results import main

    raise typer.Exit(main([]))


def verify() -> None:
    """Check results: the earlier name of `check-results`, for one release."""
    typer.echo("note: `fer-repro verify` is now `fer-repro check-results`", err=True)
    check_results()


def report_command(
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
        from fer_repro.report.html import report_main
    raise typer.Exit(report_main(["--out", str(out)]))


def why_command(
    name: Annotated[
        str,
        typer.Argument(help="A claim, the folder of a run, or a number as it is printed.", metavar="NAME"),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a claim, a run or a number rests on, down to data, code and command, and what is stale.

    Reads the files of the project in the current folder; nothing is trained or computed.

    Example: fer-repro why rmn-masks
    """
    import json

    from fer_repro.pipeline.why import print_chains, why

    chains = why(name)
    if as_json:
        typer.echo(json.dumps(chains, indent=2, ensure_ascii=False))
    else:
        typer.echo(print_chains(chains))


def register_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the command line."""
    panel = "Train and reproduce"  # heading of the help
    app.command("new", rich_help_panel=panel)(new_command)
    app.command("train", rich_help_panel=panel)(train_command)
    app.command("evaluate", rich_help_panel=panel)(evaluate_command)
    app.command("sweep", rich_help_panel=panel)(sweep_command)
    app.command("record", rich_help_panel=panel)(record_command)
    app.command("check-results", rich_help_panel=panel)(check_results)
    app.command("verify", hidden=True)(verify)
    app.command("report", rich_help_panel=panel)(report_command)
    app.command("why", rich_help_panel=panel)(why_command)
