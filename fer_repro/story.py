"""What a story notebook needs, in one import: a paper's runs on one data set, and functions for its page.

    from fer_repro import story

``open_story`` reads the runs and evaluates them. The methods of ``Story`` make the parts of the page that are
the same for every paper: learning curves, the claim seed by seed, the verdicts, all results next to published
ones, the most confident mistakes, the files. Functions that only some papers need are imported here for
notebooks, and documented where they are defined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from fer_repro.config import method_arms, run_folder
from fer_repro.datasets.protocols import protocol_rows
from fer_repro.datasets.store import Store
from fer_repro.evaluation.agreement import (
    areas_by_kind,
    mask_agreement,
    mask_table,
    moving_areas,
    precision_by_recall,
    with_mean,
)
from fer_repro.evaluation.answers import accuracy_by_factor, worst_errors
from fer_repro.evaluation.cascade_orders import (
    accuracy_of_orders,
    budget_lines,
    independence_table,
    order_spread,
    stage_scores,
    stage_table,
)
from fer_repro.evaluation.claims import read_claims
from fer_repro.evaluation.class_activation import (
    areas_by_class,
    class_activations,
    gains_over_controls,
    maps_of_run,
)
from fer_repro.evaluation.ensembles import ensemble_name, ensemble_runs
from fer_repro.evaluation.evidence import read_evidence
from fer_repro.evaluation.feature_strength import (
    accuracy_without,
    confidences_and_hits,
    look_at_features,
    shares_that_would_be_kept,
    strength_table,
)
from fer_repro.evaluation.forgery_views import (
    kind_bars,
    look_at_frames,
    network_parts,
    one_of_each_kind,
    probabilities,
    read_triplets,
    scored_frames,
    true_masks,
)
from fer_repro.evaluation.frame_expressiveness import expressiveness_agreement
from fer_repro.evaluation.frame_order import frame_order
from fer_repro.evaluation.frame_weights import (
    alpha_alone,
    compare_formulas,
    frame_table,
    frame_weights_of_test,
    heaviest_frames,
    intensity_agreement,
    intensity_correlations,
    intensity_steps,
    weights_by_distractor,
)
from fer_repro.evaluation.ledger import judge
from fer_repro.evaluation.pair_views import (
    angle_table,
    cause_bars,
    class_angles,
    embedded_groups,
    embedded_people,
    fold_bars,
    scored_pairs,
    tested_pairs,
    usual_threshold,
)
from fer_repro.evaluation.pixel_traces import digit_bars, empty_bars, few_images, image_pairs
from fer_repro.evaluation.region_weights import (
    common_boxes,
    occluded_faces,
    occluded_regions,
    occlusion_agreement,
    region_means,
    region_weights,
    weights_by_cover,
)
from fer_repro.evaluation.segments import (
    error_table,
    level_distances,
    same_files,
    true_segments,
    weight_agreement,
    weights_by_level,
    weights_of_test,
)
from fer_repro.evaluation.shorter import read_shorter
from fer_repro.evaluation.summary import Evaluation, evaluate_runs, write_results
from fer_repro.evaluation.synthesised_faces import (
    chosen_distances,
    enlarge_class,
    errors_by_option,
    face_rows,
    image_frames,
    judge_faces,
    rare_class_rows,
    synthesise,
)
from fer_repro.evaluation.visible_halves import (
    accuracy_by_view,
    agreement_with_teacher,
    answers_by_view,
    covered_faces,
    softened_answers,
)
from fer_repro.figures.angles import (
    angle_histograms,
    gradient_lengths,
    probability_curves,
    reduction_table,
    scale_history,
    scale_of_classes,
    scale_table,
)
from fer_repro.figures.answer_figures import (
    embedding_map,
    errors_by_setting,
    numbers_over_truth,
    principal_plane,
    reliability_diagram,
    show_bars,
    show_curves,
)
from fer_repro.figures.attention import (
    show_agreement,
    show_attention_table,
    show_cover,
    show_distractors,
    show_expressiveness,
    show_formulas,
    show_intensity,
    show_order,
    show_precision,
    show_timelines,
    spread_faces,
)
from fer_repro.figures.cascade_figures import budget_plot, filter_gallery, order_dots
from fer_repro.figures.claim_figures import (
    accuracy_by_protocol,
    claim_sentence,
    claim_table,
    headline_claim,
    show_claims,
    show_subsets,
)
from fer_repro.figures.deviations import show_deviations
from fer_repro.figures.display import (
    Shown,
    enter_project,
    file_table,
    say,
    show_figure,
    show_table,
    with_reading,
)
from fer_repro.figures.explained import (
    mask_by_channel,
    mask_overlay,
    mask_statistics,
    network_drawing,
    score_overlay,
)
from fer_repro.figures.forgery_figures import (
    attention_gallery,
    combination_table,
    detection_curves,
    network_pairs,
    score_histograms,
)
from fer_repro.figures.ledger_tables import show_verdicts
from fer_repro.figures.region_figures import biased_loss, bounds_figure, mean_weights, regions_on_faces
from fer_repro.figures.result_files import choose_explained, read_explained, read_rows, stages
from fer_repro.figures.result_tables import (
    ensemble_gains,
    published_ensembles,
    published_grid,
    published_numbers,
    show_metrics,
    show_published,
)
from fer_repro.figures.results import (
    confusion_matrices,
    contact_sheet,
    difference_plot,
    error_gallery,
    learning_curves,
    paired_seeds,
    recall_bars,
)
from fer_repro.figures.sample_figures import pair_gallery, show_by_factor, show_faces, worst_pairs
from fer_repro.figures.sequence_figures import alpha_by_level, distance_matrices, errors_by_level
from fer_repro.figures.tables import beside_published
from fer_repro.figures.true_areas import show_agreement_of_masks, show_areas_by_class, show_moving
from fer_repro.inference.explore import explore_frames, explore_masks, explore_regions
from fer_repro.inference.explore_scores import explore_angles, explore_forgeries
from fer_repro.inference.explore_widgets import show_explorer
from fer_repro.layers.cost import stage_costs
from fer_repro.measures.metrics import ACCURACIES, find_metric, own_metric
from fer_repro.measures.saliency import smooth
from fer_repro.methods.method import Method
from fer_repro.params import read_params
from fer_repro.runs.folder import TrainedRuns, open_runs
from fer_repro.runs.predictions import read_predictions

_FILES = {
    "rows.csv": "results per seed and arm, means, differences",
    "intervals.csv": "intervals over seeds and over samples",
    "metrics.json": "means, for dvc metrics",
    "curves.csv": "histories, for dvc plots",
    "confusion.csv": "true and predicted classes, for dvc plots",
    "scores.csv": "points of every run's ROC, for dvc plots",
    "values.csv": "true and predicted numbers, for dvc plots",
}


@dataclass(frozen=True)
class Story:
    """The runs of one method on one data set, evaluated.

    Attributes:
        trained: all arms and seeds.
        arms: that were trained, the headline first.
        seeds: that were trained.
        confidence: of all intervals, such as 0.95.
        resamples: of bootstraps.
        evaluation: the results of all arms and seeds.
        published: rows of ``results/published/results.csv``.
    """

    trained: TrainedRuns
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    confidence: float
    resamples: int
    evaluation: Evaluation
    published: pd.DataFrame

    @property
    def method(self) -> Method:
        """The paper's ``METHOD``."""
        return self.trained.method

    @property
    def dataset(self) -> str:
        """A key of ``data``."""
        return self.trained.dataset

    @property
    def store(self) -> Store:
        """The prepared data set."""
        return self.trained.store

    def folders(self, arm: str = "") -> dict[int, Path]:
        """Seed -> run folder of an arm, the headline if left out."""
        place = (self.trained.root, self.dataset, self.method.name)
        return {seed: run_folder(*place, seed, arm or self.method.headline) for seed in self.seeds}

    @property
    def arm_folders(self) -> dict[str, Path]:
        """Arm -> run folder of the first seed."""
        return {arm: self.folders(arm)[self.seeds[0]] for arm in self.arms}

    @property
    def folder(self) -> Path:
        """The run folder of the headline arm and the first seed."""
        return self.folders()[self.seeds[0]]

    @cached_property
    def main_metric(self) -> str:
        """The claim's metric: pair accuracy for verification, squared error of numbers, else accuracy."""
        return own_metric({*ACCURACIES, "mse"} & {*self.evaluation.rows["metric"]})

    @cached_property
    def claims(self) -> pd.DataFrame:
        """The difference of headline and control in every protocol, see ``claim_table``."""
        published = self.published.head(0) if self.evaluation.task == "verification" else self.published
        return claim_table(
            self.evaluation.rows, published, self.method.name, self.method.headline, self.method.control,
            self.confidence, self.main_metric,
        )  # fmt: skip

    @cached_property
    def claim(self) -> pd.Series:
        """The row of ``claims`` that a summary names: the official protocol."""
        claim = headline_claim(self.claims)
        assert claim is not None  # ``evaluate_runs`` refuses runs without the two arms
        return claim

    def show_curves(self, what: str = "", arms: Sequence[str] = ()) -> Shown:
        """Show loss and accuracy over epochs; of a regression the loss alone.

        Args:
            what: the curves are of; empty: the data set's name.
            arms: which; empty takes all.
        """
        arms = arms or self.arms
        shown = "Loss and accuracy" if "val_accuracy" in self.evaluation.curves else "Loss"
        return show_curves(
            self.evaluation.curves,
            arms,
            f"{shown} {what or f'on {self.dataset}'}: the mean over {len(self.seeds)} seeds as a "
            "line, their range as a band.",
        )

    def show_claim(self) -> Shown:
        """Show the headline arm beside its control, seed by seed, and the claim as a sentence."""
        claim, rows = self.claim, self.evaluation.rows
        rows = rows[rows["metric"].eq(self.main_metric) & rows["seed"].ne("")]
        if self.evaluation.task != "verification":
            rows = rows[rows["protocol"].eq(claim["protocol"]) & rows["tta"].eq(claim["tta"])]
        sentence, (headline, control) = claim_sentence(claim), (self.method.headline, self.method.control)
        metric = find_metric(self.main_metric)
        name = metric.words if metric.kept == "numbers" else self.main_metric.replace("_", " ")
        figure = show_figure(
            paired_seeds(rows, headline, control, (claim["low"], claim["high"]), name, metric.unit),
            "The claim, seed by seed: left both arms, right their difference with the interval of its mean.",
            sentence,
        )
        return Shown(figure.markup + say(sentence).markup)

    def show_verdicts(self) -> Shown:
        """Judge the paper's claims by these runs and show the ledger's rows."""
        evidence, shorter = read_evidence(self.trained), read_shorter("results/records")
        ledger = judge(read_claims(), evidence, self.confidence, shorter)
        return show_verdicts(ledger, self.method.name, self.dataset)

    def show_results(self) -> Shown:
        """Show all arms next to published numbers of the same data and protocol.

        Of expressions: accuracies on the protocol of the claim, with and without test-time augmentation.
        """
        table = beside_published(self.evaluation.rows, self.published)
        metrics: tuple[str, ...] = ()
        if self.evaluation.task == "expression":
            table = table[table["protocol"].eq(self.claim["protocol"])]
            metrics = ("accuracy", "mean_class_accuracy")
            copies = table["tta"].where(table["tta"] != "none", "")
            table = table.assign(arm=(table["arm"] + ", " + copies).str.removesuffix(", "))
        percent = "" if self.evaluation.task == "regression" else ", in percent"
        return show_metrics(
            table,
            f"All arms{percent}, with the {100 * self.confidence:g} % interval of the mean over "
            f"{len(self.seeds)} seeds; a published number is given only for the same data and protocol.",
            metrics,
        )

    def show_errors(self, count: int = 12, columns: int = 6) -> Shown:
        """Show the test images of the most confident mistakes of the headline arm and the first seed."""
        errors = worst_errors(read_predictions(self.folder / "predictions.csv"), count=count)
        images = self.store.images[self.store.samples["image"].iloc[errors["sample"]]]
        return show_figure(
            error_gallery(images, errors, columns=columns),
            f"The most confident mistakes of arm {self.method.headline}, seed {self.seeds[0]}.",
            f"{len(errors)} faces with their true and predicted class and the probability of the latter.",
        )

    def write(self, out: Path | str) -> Shown:
        """Write the result files below ``out`` and list them."""
        folder = Path(out) / self.dataset / self.method.name
        write_results(folder, self.evaluation)
        return show_table(file_table(folder, _FILES), "Files written.")


def open_story(method: str, dataset: str, params_file: str, runs: str, prepared: str) -> Story:
    """Open and evaluate the runs of a method on a data set; the working folder becomes the project's root.

    Arguments as of ``open_runs``.

    Raises:
        UserError: see ``open_runs``.
    """
    enter_project()
    params, trained = read_params(Path(params_file)), open_runs(params_file, method, dataset, runs, prepared)
    return Story(
        trained, method_arms(Path(params_file), method), tuple(params.seeds_of(method)),
        params.evaluation.confidence, params.evaluation.bootstrap, evaluate_runs(trained),
        read_rows(Path("results/published/results.csv")),
    )  # fmt: skip
