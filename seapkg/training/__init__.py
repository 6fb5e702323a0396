"""Training and evaluation."""

from seapkg.training.config import TrainingConfig
from seapkg.training.evaluate import Metrics, Ranking, evaluate
from seapkg.training.fit import Fit, fit

__all__ = ["Fit", "Metrics", "Ranking", "TrainingConfig", "evaluate", "fit"]
