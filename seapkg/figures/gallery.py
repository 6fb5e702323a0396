"""Figures and tables on disk, with an index that names the notebook, data and runs behind each.

The same figure gives the same bytes, and the index holds no time: git shows what has changed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from seapkg.data import Dataset
from seapkg.data.catalogue import Known
from seapkg.errors import RequestError
from seapkg.figures.style import style
from seapkg.files import locked, replacing, write_text
from seapkg.runs import locations
from seapkg.runs.run import Run

#: Without a clock and a version the same figure gives the same bytes.
METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
INDEX = "index.md"
HEADING = "\n## "
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
Source = Dataset | Known | str


@dataclass(frozen=True)
class Saved:
    """A saved figure, which Jupyter shows above its caption.

    Attributes:
        path: the PNG file.
        caption: the caption, in Markdown.
    """

    path: Path
    caption: str

    def _ipython_display_(self) -> None:
        from IPython.display import Image, Markdown, display

        display(Image(self.path), Markdown(f"*{self.caption}*"))


@style()
def save_figure(figure: Figure, name: str, *, profile: str, caption: str, **origin) -> Saved:
    """Writes figures/PROFILE/NAME.png and .svg and lists them in the index.

    Args:
        figure: the figure.
        name: letters, digits, "-" and "_".
        profile: the profile whose folder receives the figure.
        caption: what the figure shows.
        origin: `notebook`, its name; `runs`, the runs behind the figure; `data`, a dataset, words,
            or a list of them.
    """
    folder = _folder(profile, name)
    for ending, metadata in METADATA.items():
        with replacing(folder / f"{name}.{ending}") as path:
            figure.savefig(path, format=ending, metadata=metadata)
    _list(folder, name, f"![{name}]({name}.png)\n\n[SVG]({name}.svg)", caption, **origin)
    return Saved(folder / f"{name}.png", caption)


def save_table(frame: pd.DataFrame, name: str, *, profile: str, caption: str, **origin) -> Path:
    """Writes figures/PROFILE/NAME.csv (every digit) and .md (four decimals) and lists them.

    Args:
        frame: the table.
        name, profile, caption, origin: as in `save_figure`.

    Returns:
        The path of the .md file.
    """
    folder = _folder(profile, name)
    write_text(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{name}.md", markdown(frame))
    _list(folder, name, f"[{name}.md]({name}.md), [CSV]({name}.csv)", caption, **origin)
    return folder / f"{name}.md"


def markdown(frame: pd.DataFrame) -> str:
    """A table in Markdown: numbers with four decimals, at the right; missing ones are empty."""
    numbers = frame.select_dtypes("number").columns
    alignment = ["right" if column in numbers else "left" for column in frame.columns]
    cells = frame.map(_cell)
    return cells.to_markdown(index=False, disable_numparse=True, colalign=alignment) + "\n"


def _cell(value: object) -> str:
    if pd.isna(value):
        return ""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _folder(profile: str, name: str) -> Path:
    for word in (profile, name):
        if not SAFE_NAME.fullmatch(word):
            raise RequestError(f"the name {word!r} may hold letters, digits, - and _ only")
    folder = locations.figures_root() / profile
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _list(
    folder: Path,
    name: str,
    shown: str,
    caption: str,
    *,
    notebook: str,
    runs: Iterable[Run],
    data: Source | list[Source],
) -> None:
    """Adds a section to index.md and drops the sections whose files are gone."""
    sources = data if isinstance(data, list) else [data]
    origins = [_description(source) for source in sources]
    names = sorted({run.name for run in runs})
    section = f"""{name}

{shown}

{" ".join(caption.split())}

- notebook: {notebook}
- data: {"; ".join(origins)}
- runs: {", ".join(names) or "none"}
"""
    with locked(folder):
        sections = _sections(folder / INDEX) | {name: section}
        kept = [sections[key] for key in sorted(sections) if any(folder.glob(f"{key}.*"))]
        title = f"# Figures and tables of the profile {folder.name}\n"
        write_text(folder / INDEX, HEADING.join([title, *kept]))


def _description(source: Source) -> str:
    """A dataset with what is real in it."""
    if isinstance(source, str):
        return source
    return f"{source.name}: {source.provenance or 'provenance unknown'}"


def _sections(index: Path) -> dict[str, str]:
    """The sections of index.md by their first line, the name."""
    if not index.exists():
        return {}
    _, *sections = index.read_text(encoding="utf-8").split(HEADING)
    return {section.split("\n")[0]: section for section in sections}
