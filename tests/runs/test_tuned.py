"""Tuned options are read by dataset and label, and every one of them is an option of its system."""

import pytest
import yaml

import seapkg.runs
from seapkg.models import systems
from seapkg.runs.configure import configure
from seapkg.runs.tuned import tuned

LABELS = {
    label: (name, options)
    for name, one in systems().items()
    for label, options in one.labels.items()
}
TABLES = yaml.safe_load(open(f"{seapkg.runs.__path__[0]}/tuned.yaml", encoding="utf-8"))


@pytest.mark.parametrize("dataset", TABLES)
def test_every_tuned_option_is_one_of_its_system(dataset):
    for label, options in TABLES[dataset].items():
        name, form = LABELS[label]
        configure(name, form | options)


def test_numbers_are_read_as_numbers():
    assert tuned("baby", "lightgcn") == {"n_layers": 3, "regularisation": 1e-3}


def test_what_was_not_tuned_is_empty_and_a_change_reaches_no_one_else():
    assert tuned("nowhere", "bpr") == tuned("baby", "popularity") == {}
    tuned("baby", "bpr")["regularisation"] = 7
    assert tuned("baby", "bpr") == {"regularisation": 0.1}
