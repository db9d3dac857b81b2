"""Names of the pipeline's stages, as dvc.yaml calls them, and the commands that make each number again."""

from collections.abc import Iterable, Mapping

import pandas as pd

from fer_repro.report.tables import Column

COMMANDS = (
    Column("what", "Number"),
    Column("command", "Command"),
    Column("writes", "Writes"),
)


def stage_name(
    tasks: Mapping[tuple[str, str], str], step: str, dataset: str, method: str, *seed: object
) -> str:
    """Name a stage of dvc.yaml.

    Args:
        tasks: data set and method -> the task, ``runs`` of the pipeline.
        step: train or evaluate.
        dataset: of the stage.
        method: of the stage.
        seed: where the step has one.

    >>> stage_name({("synthetic", "rmn"): "faces"}, "train", "synthetic", "rmn", 0)
    'train-faces@synthetic-rmn-0'
    """
    return f"{step}-{tasks[dataset, method]}@{'-'.join(map(str, (dataset, method, *seed)))}"


def command_table(datasets: Iterable[str], trained: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """List what makes each number of the page again.

    Args:
        datasets: of the pipeline.
        trained: data set and method -> the task, ``runs`` of the pipeline.

    Returns:
        ``what``, ``command`` and ``writes``.
    """
    rows = [
        ("everything that this page shows, from the embedded data", "make reproduce", "reports/index.html")
    ]
    for dataset in datasets:
        stage = f"prepare@{dataset}"
        rows.append((f"counts and findings of {dataset}", f"dvc repro -f -s {stage}", f"prepared/{dataset}/"))
    for dataset, method in trained:
        place, stage = f"{dataset}/{method}", stage_name(trained, "train", dataset, method, "*")
        again = f"dvc repro -f -s --glob '{stage}'"
        rows.append((f"networks of {method} on {dataset}, all seeds", again, f"runs/{place}/"))
        stage = stage_name(trained, "evaluate", dataset, method)
        rows.append((f"results of {method} on {dataset}", f"dvc repro -f -s {stage}", f"results/{place}/"))
    rows += [
        ("verdicts, common ground, costs, papers' tables", "dvc repro -f -s compare", "comparison/"),
        ("this page", "dvc repro -f -s report", "reports/index.html"),
        ("all other arms, and all methods on common ground", "make reproduce-full", "records/full-*/"),
        ("whether all of it is what the repository holds", "make verify", "nothing"),
    ]
    return pd.DataFrame(rows, columns=["what", "command", "writes"])
