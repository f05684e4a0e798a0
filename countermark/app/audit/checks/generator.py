"""Generator checks: closeness, variety and copying, each from one shared evaluation.

The reference images are those of ``data`` that the generator was not trained on, as its card says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from countermark.app.audit.checks.base import Check, Context, Measured
from countermark.app.audit.schema import CheckEntry
from countermark.core.intervals import Estimate, student
from countermark.core.results import Interval, Outcome

if TYPE_CHECKING:
    from countermark.generators.measuring.evaluation import GeneratorReport

EFFECTIVE = ("eu-ai-act/50.2/effective",)


class Against(CheckEntry):
    """Options.

    Attributes:
        data: A folder of images (relative to the policy) or the name of a data set.
        count: Images that are generated.
        extractor: Feature extractor; figures of different extractors are not comparable.
        repeats: For FID and density: evaluations with other seeds, whose spread gives the interval.
    """

    data: str
    count: int = Field(default=500, ge=20, le=100_000)
    extractor: str = "auto"
    repeats: int = Field(default=5, ge=2, le=100)


class QualityCheck(Check[Against]):
    """Base: one figure of the evaluation."""

    kinds = ("generator",)
    needs_evidence = False
    unit = ""
    #: The field of the evaluation; ``copying.…`` where it is one of the search for copies.
    figure: ClassVar[str]
    #: The field of the evaluation that counts what a share is of; empty for other figures.
    out_of: ClassVar[str] = ""
    #: Whether the evaluation gives no interval, so that it is repeated with other seeds.
    repeated: ClassVar[bool] = False

    def measure(self, entry: Against, context: Context) -> Measured:
        report = evaluation(entry, context)
        detail = {
            "data": report.data,
            "extractor": report.extractor,
            "reference": report.reference,
            "real": report.count_real,
            "generated": report.count_generated,
        }
        value = figure_of(report, self.figure)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            sentence = "Too few images are held out to measure this."
            return Measured(outcome=Outcome.INCONCLUSIVE, sentence=sentence, detail=detail)
        if isinstance(value, Interval):
            return Measured(Estimate(value, np.array([])), detail=detail)
        if self.out_of:
            count = int(getattr(report, self.out_of))
            events = np.arange(count) < round(float(value) * count)
            return Measured(context.proportion(events, None), detail=detail)
        if self.repeated:
            others = [evaluation(entry, context, number) for number in range(1, entry.repeats)]
            found = [value, *(figure_of(other, self.figure) for other in others)]
            values = [float(one) for one in found if isinstance(one, int | float)]
            runs = student(values, report.count_generated, confidence=context.policy.statistics.confidence)
            return Measured(Estimate(runs, np.array([])), detail=detail | {"runs": values})
        return Measured(context.exact(float(value), report.count_generated), detail=detail)


def figure_of(report: GeneratorReport, name: str) -> Interval | float | None:
    """A figure of an evaluation by its name; None where it was not measured."""
    if name.startswith("copying."):
        return None if report.copying is None else float(getattr(report.copying, name.split(".")[1]))
    value: Interval | float | None = getattr(report, name)
    return value


def evaluation(entry: Against, context: Context, number: int = 0) -> GeneratorReport:
    """The evaluation that all checks with the same options share; ``number`` counts its repetitions."""
    library, policy = context.library, context.policy
    data = policy.root / entry.data

    def make() -> GeneratorReport:
        return library.rooms.evaluate(
            library.resolve(policy.subject.name),
            str(data) if data.is_dir() else entry.data,
            entry.count,
            entry.extractor,
            policy.statistics.seed + 1_000_000 * (1 + number),
        )

    return context.once(("evaluation", entry.data, entry.count, entry.extractor, number), make)


class Kid(QualityCheck):
    id = "generator.kid"
    title = "Generated images are close to real ones"
    direction = "at-most"
    formula = "unbiased MMD² with the kernel (x·y / D + 1)³ between features of held-out and generated images"
    source = "Bińkowski et al. 2018; interval by half-sampling, Shao & Wu 1989"
    figure = "kid"


class Fid(QualityCheck):
    id = "generator.fid"
    title = "Generated images have the distribution of real ones"
    direction = "at-most"
    formula = "Fréchet distance of two Gaussians fitted to the features"
    source = "Heusel et al. 2017; biased upwards for few images; Student interval over runs with other seeds"
    repeated = True
    figure = "frechet"


class Precision(QualityCheck):
    id = "generator.precision"
    title = "Generated images lie among real ones"
    unit = "share"
    formula = "share of generated images inside the 5-neighbour ball of a real image"
    source = "Kynkäänniemi et al. 2019; spread by half-sampling"
    figure = "precision"


class Recall(QualityCheck):
    id = "generator.recall"
    title = "Real images lie among generated ones"
    unit = "share"
    formula = "share of real images inside the 5-neighbour ball of a generated image"
    source = "Kynkäänniemi et al. 2019; spread by half-sampling"
    figure = "recall"


class Density(QualityCheck):
    id = "generator.density"
    title = "Generated images lie where real ones are dense"
    formula = "mean number of real 5-neighbour balls that hold a generated image, divided by 5"
    source = "Naeem et al. 2020; Student interval over runs with other seeds"
    repeated = True
    figure = "density"


class Coverage(QualityCheck):
    id = "generator.coverage"
    title = "Generated images cover the real ones"
    unit = "share"
    formula = "share of real 5-neighbour balls that hold a generated image"
    source = "Naeem et al. 2020; Clopper & Pearson 1934"
    out_of = "count_real"
    figure = "coverage"


class CopyScore(QualityCheck):
    id = "generator.c-t"
    title = "Does not copy its training images"
    unit = "z"
    formula = "Mann-Whitney z of distances to the nearest training image, generated against held-out"
    source = "Meehan, Chaudhuri & Dasgupta 2020; -3 or lower means copying"
    default_threshold = -3.0
    figure = "copying.c_t"


class Authentic(QualityCheck):
    id = "generator.authentic"
    title = "Generated images are no copies with noise"
    unit = "share"
    formula = "share of generated images further from their nearest training image than that is from its own"
    source = "Alaa et al. 2022; Clopper & Pearson 1934"
    out_of = "count_generated"
    figure = "copying.authentic"


class NearDuplicates(QualityCheck):
    id = "generator.near-duplicates"
    title = "Few generated images are nearer to a training image than held-out images are"
    unit = "share"
    direction = "at-most"
    formula = "share of generated images closer to a training image than 99 % of held-out images"
    source = "distance quantile against held-out images; 1 % is what an honest model gets; Clopper & Pearson"
    out_of = "count_generated"
    figure = "copying.near_duplicates"
