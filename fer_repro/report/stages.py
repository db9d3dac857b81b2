"""Names of the pipeline's stages, as dvc.yaml calls them, and the commands that make each number again."""

from collections.abc import Mapping, Sequence

import pandas as pd

from fer_repro.report.tables import Column

COMMANDS = (
    Column("what", "Number"),
    Column("command", "Command"),
    Column("writes", "Writes"),
)


def stage_name(tasks: Mapping[str, str], step: str, dataset: str, *further: object) -> str:
    """Name a stage of dvc.yaml.

    Args:
        tasks: data set -> its task.
        step: prepare, train or evaluate.
        dataset: of the stage.
        further: method and seed, where the step has them.

    >>> stage_name({"synthetic": "faces"}, "train", "synthetic", "rmn", 0)
    'train-faces@synthetic-rmn-0'
    """
    return f"{step}-{tasks[dataset]}@{'-'.join(map(str, (dataset, *further)))}"


def command_table(tasks: Mapping[str, str], trained: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """List what makes each number of the page again.

    Args:
        tasks: data set -> its task.
        trained: data sets and methods.

    Returns:
        ``what``, ``command`` and ``writes``.
    """
    rows = [
        ("everything that this page shows, from the embedded data", "make reproduce", "reports/index.html")
    ]
    for dataset in tasks:
        stage = stage_name(tasks, "prepare", dataset)
        rows.append((f"counts and findings of {dataset}", f"dvc repro -f -s {stage}", f"prepared/{dataset}/"))
    for dataset, method in trained:
        place, stage = f"{dataset}/{method}", stage_name(tasks, "train", dataset, method, "*")
        again = f"dvc repro -f -s --glob '{stage}'"
        rows.append((f"networks of {method} on {dataset}, all seeds", again, f"runs/{place}/"))
        stage = stage_name(tasks, "evaluate", dataset, method)
        rows.append((f"results of {method} on {dataset}", f"dvc repro -f -s {stage}", f"results/{place}/"))
    rows += [
        ("verdicts, common ground, costs, papers' tables", "dvc repro -f -s compare", "comparison/"),
        ("this page", "dvc repro -f -s report", "reports/index.html"),
        ("all other arms, and all methods on common ground", "make reproduce-full", "records/full-*/"),
        ("whether all of it is what the repository holds", "make verify", "nothing"),
    ]
    return pd.DataFrame(rows, columns=["what", "command", "writes"])
