"""What the command line lists: models with their options, finished runs, any table as text."""

import inspect
from typing import Any

import pandas as pd

from seapkg.models import find, systems
from seapkg.options import Described, describe_options
from seapkg.runs.run import Run
from seapkg.training import TrainingConfig


def models_text() -> str:
    """Every model with its description, what it needs, and its options with their defaults."""
    blocks = [_model_text(name) for name in systems()]
    return "\n\n".join([*blocks, "training, for every model\n" + _options_text(TrainingConfig())])


def runs_frame(runs: list[Run]) -> pd.DataFrame:
    """One row a run: run, model, dataset, seed, epochs, valid R@20, test R@20, seconds."""
    return pd.DataFrame(
        {
            "run": [run.name for run in runs],
            "model": [run.model for run in runs],
            "dataset": [run.dataset for run in runs],
            "seed": [run.seed for run in runs],
            "epochs": [run.record["epochs"] for run in runs],
            "valid R@20": [run.valid["recall@20"] for run in runs],
            "test R@20": [run.test["recall@20"] for run in runs],
            "seconds": [round(run.record["seconds_total"], 1) for run in runs],
        }
    )


def text_table(frame: pd.DataFrame) -> str:
    """A table in columns: words to the left, numbers to the right and short."""
    cells = frame.map(_cell)
    texts = {name: [str(name), *cells[name]] for name in frame.columns}
    widths = {name: max(map(len, column)) for name, column in texts.items()}
    left = {name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])}
    lines = (
        "  ".join(
            text.ljust(widths[name]) if name in left else text.rjust(widths[name])
            for name, text in zip(texts, row, strict=True)
        ).rstrip()
        for row in zip(*texts.values(), strict=True)
    )
    return "\n".join(lines)


def _model_text(name: str) -> str:
    model = find(name).model
    needs = "needs item features" if model.needs_features else "needs interactions only"
    lines = [f"{name}: {_first_sentence(model)} ({needs})", _options_text(model.config_class())]
    defaults = ", ".join(f"{key}={value}" for key, value in model.training_defaults.items())
    return "\n".join([*lines, f"    trained by default with {defaults}"] if defaults else lines)


def _options_text(config: Any) -> str:
    options = describe_options(type(config))
    return (
        "\n".join(f"    {option.name} = {_default(option, config)}" for option in options)
        or "    no options"
    )


def _default(option: Described, config: Any) -> str:
    """An option that is None in its class takes its value from the others: what it is where these are at their
    defaults."""
    value = getattr(config, option.name)
    return f"{value} (follows other options)" if option.default is None else str(value)


def _first_sentence(model: type) -> str:
    text = " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split())
    return text if len(text) <= 160 else text[:157].rsplit(" ", 1)[0] + " ..."


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
