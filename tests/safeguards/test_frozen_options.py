"""Option names and defaults are frozen: a default that moves would answer a request with old runs.

python tests/safeguards/test_frozen_options.py     # records options.json anew, for a change that is meant
"""

import json
from pathlib import Path

import pytest

from seapkg.models import systems
from seapkg.options import describe_options
from seapkg.training import TrainingConfig

FILE = Path(__file__).with_name("options.json")
RECORDED = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}


def options_now():
    """Owner -> results version and default by option; "training" belongs to every system."""
    found = {"training": {"version": 1, "options": defaults(TrainingConfig)}}
    for name, entry in sorted(systems().items()):
        options = defaults(entry.model.config_class)
        trained = entry.model.training_defaults
        found[name] = {"version": entry.version, "options": options, "training": trained}
    return found


def defaults(config_class):
    return {option.name: option.default for option in describe_options(config_class)}


def test_every_system_is_recorded():
    assert list(RECORDED) == list(options_now()), f"run python {FILE.parent}/test_frozen_options.py"


@pytest.mark.parametrize("owner", RECORDED)
def test_names_and_defaults_are_as_recorded(owner):
    recorded, found = RECORDED[owner], options_now()[owner]
    assert found == recorded, (
        f"{owner}: options or defaults differ from options.json. Where the results change, raise "
        f"`version` of {owner} in its @system decorator. A new option must keep, by its default, "
        f"what was before. Then record: python tests/safeguards/test_frozen_options.py"
    )


if __name__ == "__main__":
    FILE.write_text(json.dumps(options_now(), indent=1) + "\n", encoding="utf-8")
