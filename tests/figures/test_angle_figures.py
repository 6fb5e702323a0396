"""Figures of angles show the densities and variances of Theorem 1."""

import numpy as np
import pandas as pd
import pytest

from seapkg.analysis.angles import angle_density, angle_variance
from seapkg.figures import angles


def test_densities_have_a_panel_per_dimension_with_the_theorems_curve():
    sample = np.linspace(0.5, 2.5, 50)
    samples = pd.concat(pd.DataFrame({"n": n, "angle": sample}) for n in (2, 8))
    figure = angles.densities(samples)
    assert [axes.get_title() for axes in figure.axes] == ["n = 2", "n = 8"]
    (curve,) = figure.axes[1].lines
    assert np.allclose(curve.get_ydata(), angle_density(curve.get_xdata(), 8))


def test_variances_show_every_form_and_its_error_in_percent():
    rows = []
    for n in (2, 4):
        exact = float(angle_variance(n))
        rows += [
            (n, "exact", exact),
            (n, "1/n", 1 / n),
            (n, "1/(n-1)", 1 / (n - 1)),
            (n, "1/(n-2)", np.inf if n == 2 else 0.5),
            (n, "simulation", exact),
        ]
    left, right = angles.variances(pd.DataFrame(rows, columns=["n", "form", "variance"])).axes
    shown = {line.get_label(): list(line.get_xdata()) for line in left.lines}
    assert shown["exact"] == shown["1/n"] == [2, 4] and shown["1/(n-2)"] == [4]
    errors = {line.get_label(): line.get_ydata() for line in right.lines}
    assert set(errors) == {"1/n", "1/(n-1)", "1/(n-2)"}
    assert errors["1/n"][1] == pytest.approx(100 * abs(0.25 / float(angle_variance(4)) - 1))


def test_departures_name_every_kind_once():
    sample = pd.DataFrame({"vectors": ["a", "a", "b", "b"], "angle": [1.0, 1.5, 0.5, 0.6]})
    spread = pd.DataFrame(
        {"vectors": ["a", "b"], "n": [4, 4], "mean_square_cosine": [0.25, 0.5],
         "effective_dimension": [4.0, np.nan]}
    )  # fmt: skip
    figure = angles.departures(sample, spread, 4)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(names) == ["Theorem 1", "a", "b"]
