"""docs/equations.md covers every equation of SEA and REARM."""

import re
from pathlib import Path

from seapkg.models import find
from seapkg.options import describe_options

TEXT = (Path(__file__).parents[2] / "docs" / "equations.md").read_text(encoding="utf-8")


def entries(pattern: str) -> list[int]:
    return [int(number) for number in re.findall(pattern, TEXT, flags=re.MULTILINE)]


def test_every_equation_of_sea_has_its_entry():
    assert sorted(entries(r"^\*\*Eq\. (\d+)\b")) == list(range(1, 31))


def test_every_equation_of_rearm_has_its_entry_in_order():
    assert entries(r"^\*\*B(\d+)\.\*\*") == list(range(1, 19))


def test_math_is_closed():
    assert TEXT.count("$$") % 2 == 0
    for line in TEXT.replace("$$", "").splitlines():
        assert line.count("$") % 2 == 0, line


def test_every_option_that_it_cites_exists():
    known = {
        option.name
        for system in ("sea", "rearm")
        for option in describe_options(find(system).model.config_class)
    }
    cited = set(re.findall(r"[Oo]ption `(\w+)`", TEXT))
    assert len(cited) >= 8 and cited <= known, cited - known
