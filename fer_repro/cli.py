"""The ``fer-repro`` command. It stays thin: each command imports what it needs when it runs."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_repro.errors import UserError, print_error
from fer_repro.inference.commands import register_commands as register_inference
from fer_repro.pipeline.commands import Params, params_to_read
from fer_repro.pipeline.commands import register_commands as register_pipeline

if TYPE_CHECKING:
    from fer_repro.datasets.store import Store
    from fer_repro.params import Params as ReadParams

DATA = "Data and environment"  # heading of the help
app = typer.Typer(
    name="fer-repro",
    help="Reproduce papers on facial expression recognition, and believe the result.",
    epilog="Begin with: fer-repro doctor. Each command has an example: fer-repro predict --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(no_args_is_help=True)
app.add_typer(data, name="data", help="Add data sets of your own; examine them.", rich_help_panel=DATA)

Stores = Annotated[Path, typer.Option("--store", help="Folder of added sets; git and DVC ignore it.")]
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
    resampled  an added set of real faces, such as stores/lfw

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

    used = _params(params_to_read(params)).pipeline.datasets
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


register_pipeline(app)
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

    if not load_dataset(name).finds_faces:
        return ""
    return _params(params_to_read(params)).detector.removeprefix(CASCADE)


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
        return f"Next: fer-repro train METHOD {name} (dvc repro needs a project: fer-repro new FOLDER)"
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
