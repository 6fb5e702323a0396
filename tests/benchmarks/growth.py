"""Seconds per step and peak memory against the number of items: growth.csv and growth.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.figures.style import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILLION, style

PARTS = {"forward": BLACK, "backward": ORANGE, "auxiliary fit": SKY, "adam": GREEN}
CASES = {
    "a, all items": {"variant": "a"},
    "b, batch items": {"variant": "b", "alignment_items": "batch"},
}
LOOKS = {"a, all items": ("o-", VERMILLION), "b, batch items": ("s--", BLUE)}


def draw(rows: list[dict], folder: Path) -> None:
    """Writes the table and the figure; `rows`: one per size and case."""
    frame = pd.DataFrame(rows)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "growth.csv", index=False, float_format="%.4g")
    figure(frame).savefig(folder / "growth.png")


@style()
def figure(frame: pd.DataFrame) -> Figure:
    """Seconds of each part and peak memory, one line per case; `frame`: the rows of growth.csv."""
    figure = Figure(figsize=(7.0, 3.4), layout="constrained")
    time, memory = figure.subplots(1, 2)
    for case, (form, colour) in LOOKS.items():
        rows = frame[frame["case"] == case]
        _line(memory, rows, "peak_mb", case, form, colour)
        for part, part_colour in PARTS.items():
            if rows[part].max() > 1e-4:
                _line(time, rows, part, f"{part}, {case}", form, part_colour)
    for axes, title in ((time, "seconds per step"), (memory, "peak memory, MB")):
        axes.set(xscale="log", yscale="log", xlabel="items", title=title)
        axes.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def _line(axes: Axes, rows: pd.DataFrame, y: str, name: str, form: str, colour: str) -> None:
    label = f"{name}: slope {slope(rows['items'], rows[y]):.2f}"
    axes.plot(rows["items"], rows[y], form, color=colour, label=label)


def slope(items: pd.Series, values: pd.Series) -> float:
    """The log-log slope between the last two sizes, where constant costs matter least."""
    if len(items) < 2:
        return float("nan")
    steps = [np.diff(np.log(series.iloc[-2:]))[0] for series in (values, items)]
    return float(steps[0] / steps[1])
