"""All finished runs of the pipeline together: which exist, and what they show about claims."""

from pathlib import Path

import pandas as pd

from fer_repro.config import method_arms, run_folder
from fer_repro.evaluation.claims import read_claims
from fer_repro.evaluation.evidence import Evidence, read_evidence
from fer_repro.evaluation.ledger import attempted, judge
from fer_repro.evaluation.shorter import read_shorter
from fer_repro.params import read_params
from fer_repro.project_files import project_file
from fer_repro.runs.folder import TrainedRuns, open_runs


def finished_runs(params_file: Path | str, runs_root: Path | str = "runs") -> list[tuple[str, str]]:
    """List data set and method wherever every seed and arm of the pipeline has been trained.

    Args:
        params_file: usually ``params.yaml``.
        runs_root: where runs live.
    """
    params = read_params(Path(params_file))

    def is_there(dataset: str, method: str) -> bool:
        return all(
            (run_folder(runs_root, dataset, method, seed, arm) / "metrics.json").is_file()
            for seed in params.seeds_of(method)
            for arm in method_arms(Path(params_file), method)
        )

    return [pair for pair in params.pipeline.runs if is_there(*pair)]


def gather_evidence(
    params_file: Path | str, runs_root: Path | str = "runs", prepared_root: Path | str = "prepared"
) -> list[Evidence]:
    """Read the evidence of all finished runs; arguments as of ``open_runs``."""
    return [
        found
        for dataset, method in finished_runs(params_file, runs_root)
        for found in read_evidence(open_runs(params_file, method, dataset, runs_root, prepared_root))
    ]


def judge_runs(found: TrainedRuns, records: Path | str = "results/records") -> pd.DataFrame:
    """Judge the claims that runs of one method on one data set can test.

    Args:
        found: the runs.
        records: may hold runs with half their epochs, ``read_shorter``.

    Returns:
        The tested rows of the ledger; see ``fer_repro.evaluation.ledger.judge``.
    """
    confidence = read_params(found.params_file).evaluation.confidence
    claims = read_claims(project_file(Path("results/published/claims.yaml")))
    return attempted(judge(claims, read_evidence(found), confidence, read_shorter(records)))
