"""The growth figure: seconds of a step and peak memory against the number of items, with the slope of each line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seapkg.figures.style import BLUE, COLOURS, VERMILLION, style

PARTS = ["forward", "backward", "auxiliary fit", "adam"]
CASES = {"a, all items": ("o", "-"), "b, batch items": ("s", "--")}


def draw(rows: list[dict], folder: Path) -> None:
    """Writes growth.csv and growth.png; `rows`: one a size and case, as `__main__.growth` makes them."""
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "growth.csv", index=False, float_format="%.4g")
    figure(frame).savefig(folder / "growth.png")


def figure(frame: pd.DataFrame) -> Figure:
    """Seconds of each part and peak memory on logarithmic axes, a line a case; `frame`: what growth.csv holds."""
    with style():
        figure = Figure(figsize=(7.0, 3.4), layout="constrained")
        time, memory = figure.subplots(1, 2)
        for case, (marker, line) in CASES.items():
            own = frame[frame.case == case]
            for part, colour in zip(PARTS, COLOURS, strict=False):
                seconds = own[part]
                if seconds.max() > 1e-4:
                    label = f"{part}, {case}: slope {slope(own['items'], seconds):.2f}"
                    time.plot(
                        own["items"],
                        seconds,
                        marker=marker,
                        linestyle=line,
                        color=colour,
                        label=label,
                    )
            colour = VERMILLION if case.startswith("a") else BLUE
            label = f"{case}: slope {slope(own['items'], own.peak_mb):.2f}"
            memory.plot(
                own["items"], own.peak_mb, marker=marker, linestyle=line, color=colour, label=label
            )
        for axes, title in ((time, "seconds a step"), (memory, "peak memory, MB")):
            axes.set(xscale="log", yscale="log", xlabel="items", title=title)
            axes.legend(
                fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False
            )
    return figure


def slope(items: pd.Series, values: pd.Series) -> float:
    """The exponent of growth between the last two sizes: log-log slope where constant costs matter least."""
    if len(items) < 2:
        return float("nan")
    return float(np.diff(np.log(values.iloc[-2:]))[0] / np.diff(np.log(items.iloc[-2:]))[0])
