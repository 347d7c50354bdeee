"""How likely each configuration is truly the best."""

import math

from pipeline.choice.noise import Noise
from pipeline.choice.objectives import TABLE, Objective
from pipeline.choice.ranking import Choice
from pipeline.choice.repeats import Figures, repeats_of

DRAWS = 20_000


def probabilities_of_being_best(choice: Choice, objective: str | Objective) -> dict[str, float]:
    """For each rival of a ranking, the probability that its true mean cost is the least.

    By drawing means and the noise that they share from their posterior under the model of
    `noise` with flat priors; those of a configuration with misses from a Student's t of its own.
    Empty where no repeat tells of the noise.
    """
    import numpy as np

    sought = TABLE[objective] if isinstance(objective, str) else objective
    repeats = {
        ranked.config_id: known
        for ranked in choice.rivals
        if (known := Figures.of(repeats_of(ranked.runs), sought)) is not None
    }
    sure = (each.values for each in repeats.values() if each.all_reached)
    noise = Noise.of(sure, sought.scale)
    estimates = [each.estimate(noise, sought.scale) for each in repeats.values()]
    if not noise.degrees_of_freedom or any(math.isinf(each.variance) for each in estimates):
        return {}
    generator = np.random.default_rng(0)
    chi_square = generator.chisquare(noise.degrees_of_freedom, (DRAWS, 1))
    spread = noise.log_spread * np.sqrt(noise.degrees_of_freedom / chi_square)
    means = np.array([sought.scale.onto(each.mean) for each in estimates])
    per_repeat = 1 / np.sqrt([each.repeats for each in estimates])
    drawn = means + spread * per_repeat * generator.standard_normal((DRAWS, len(means)))
    for place, each in enumerate(estimates):
        if not each.is_pooled:
            error = math.sqrt(each.variance) * generator.standard_t(each.degrees, DRAWS)
            drawn[:, place] = means[place] + error
    wins = np.bincount(drawn.argmin(axis=1), minlength=len(means)) / DRAWS
    return dict(zip(repeats, wins.tolist(), strict=True))
