"""Linear probes find all of a factor, none of it or a part of it, on items held out."""

import numpy as np
import pytest

from seapkg.analysis.probes import probe_r2, what_parts_know


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_a_linear_map_of_the_factor_tells_all_of_it():
    factor = normal(300, 3)
    assert probe_r2(factor @ normal(3, 8, seed=1) + 5, factor) > 0.999


def test_noise_tells_nothing_even_where_it_could_be_overfitted():
    assert -0.1 < probe_r2(normal(100, 60, seed=1), normal(100, 2)) < 0.05


def test_half_of_the_variance_is_half_of_r2():
    factor = normal(4000, 1)
    part = factor + normal(4000, 1, seed=1)  # the best linear guess explains 1 / (1 + 1)
    assert probe_r2(part, factor) == pytest.approx(0.5, abs=0.03)


def test_r2_is_the_mean_over_coordinates():
    factor = normal(500, 2)
    assert probe_r2(factor[:, :1], factor) == pytest.approx(0.5, abs=0.02)


def test_different_items_are_refused():
    with pytest.raises(ValueError, match="inconsistent"):
        probe_r2(normal(4, 2), normal(5, 2))


def test_every_part_is_asked_for_every_factor_by_its_relation():
    factors = {
        "generic": normal(200, 2),
        "image": normal(200, 2, seed=1),
        "text": normal(200, 2, seed=2),
    }
    parts = {
        "image/generic": factors["generic"],
        "image/unique": factors["text"],
        "image/aligned": factors["image"],
    }
    rows = what_parts_know(parts, factors)
    told = {(row["part"], row["factor"]) for row in rows if row["r2"] > 0.99}
    assert told == {("generic", "generic"), ("unique", "other's unique")}
    assert len(rows) == 6 and {row["modality"] for row in rows} == {"image"}
