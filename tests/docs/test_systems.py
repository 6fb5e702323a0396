"""docs/systems.md is what docs/generate.py writes."""

import importlib.util
from pathlib import Path

from seapkg.models import systems

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_the_generated_one():
    committed = (DOCS / "systems.md").read_text(encoding="utf-8")
    assert committed == generator().page(), "run: python docs/generate.py"


def test_every_system_has_its_section_with_an_anchor_of_its_name():
    text = generator().page()
    assert all(f"\n## {name}\n" in text for name in systems())


def test_docstrings_become_markdown():
    docstring = (
        "LightGCN in one line.\n\n"
        "Equations:\n    e = A x  (Eq. 1)\n    s = e y\n\n"
        "Differences from the published code:\n    - No floor.\n    - No cache,\n      nowhere.\n\n"
        "The end."
    )
    assert generator().markdown(docstring) == (
        "LightGCN in one line.\n\n"
        "**Equations**:\n\n```text\ne = A x  (Eq. 1)\ns = e y\n```\n\n"
        "**Differences from the published code**:\n\n- No floor.\n- No cache,\n  nowhere.\n\n"
        "The end."
    )


def test_a_title_without_indentation_is_bold_and_a_page_is_a_link():
    docstring = "One line.\n\nEquations (see docs/equations.md):\n\n- B4: a = b\n- B5: c = d"
    assert generator().markdown(docstring) == (
        "One line.\n\n**Equations** (see [equations.md](equations.md)):\n\n- B4: a = b\n- B5: c = d"
    )
