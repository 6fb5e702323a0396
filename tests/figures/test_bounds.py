"""Figures of bounds show each estimate against the truth."""

import pandas as pd

from seapkg.figures import bounds


def bounds_frame(**columns):
    rows = [(x, name, x + k) for x in (2.0, 0.0, 1.0) for k, name in enumerate(bounds.LOOKS)]
    return pd.DataFrame(rows, columns=["truth", "estimate", "value"]).assign(**columns)


def test_bounds_have_a_panel_a_dimension_and_every_estimate_against_the_truth():
    figure = bounds.bounds(pd.concat([bounds_frame(dim=2), bounds_frame(dim=8)]))
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["dimension 2", "dimension 8"]
    for axes in panels:
        lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
        assert lines.pop("the truth") == [[0, 0], [1, 1], [2, 2]]
        assert lines == {
            name: [[x, x + k] for x in (0, 1, 2)] for k, name in enumerate(bounds.LOOKS)
        }


def test_estimates_by_correlation_shade_what_the_clamp_cuts_off():
    frame = bounds_frame().assign(rho=lambda rows: rows["truth"] / 2 - 0.5)
    axes = bounds.by_correlation(frame, 2).axes[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert lines["the truth"] == [[-0.5, 0], [0, 1], [0.5, 2]]
    assert lines["InfoNCE"] == [[-0.5, 4], [0, 5], [0.5, 6]]
    (shade,) = axes.patches
    assert shade.get_y() + shade.get_height() == 0 and shade.get_y() == axes.get_ylim()[0]
