"""Figures and tables on disk, with an index that names the notebook, data and runs behind each.

The same figure gives the same bytes and the index has no dates, so git shows real changes only.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
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

HEADING = "\n## "


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
    writers = {
        ".png": partial(figure.savefig, format="png", metadata={"Software": None}),
        ".svg": partial(figure.savefig, format="svg", metadata={"Date": None, "Creator": None}),
    }
    folder = _save(name, writers, profile=profile, caption=caption, **origin)
    return Saved(folder / f"{name}.png", caption)


def save_table(frame: pd.DataFrame, name: str, **caption_and_origin) -> Path:
    """Writes figures/PROFILE/NAME.csv (every digit) and .md (four decimals) and lists them.

    Args:
        frame: the table.
        name, caption_and_origin: as in `save_figure`, `profile` among them.

    Returns:
        The path of the .md file.
    """
    writers = {
        ".csv": partial(frame.to_csv, index=False, lineterminator="\n"),
        ".md": lambda path: path.write_text(markdown(frame), encoding="utf-8"),
    }
    folder = _save(name, writers, **caption_and_origin)
    return folder / f"{name}.md"


def markdown(frame: pd.DataFrame) -> str:
    """A table in Markdown: numbers with four decimals, right-aligned; missing ones are empty."""
    cells = frame.astype(object).where(frame.notna(), "").replace(r"\|", r"\\|", regex=True)
    return cells.to_markdown(index=False, floatfmt=".4f") + "\n"


def _save(
    name: str,
    writers: dict[str, Callable[[Path], None]],
    *,
    profile: str,
    caption: str,
    notebook: str,
    runs: Iterable[Run],
    data: Dataset | Known | str | list,
) -> Path:
    """Writes one file per ending and a section of index.md; returns the folder."""
    for word in (profile, name):
        if not re.fullmatch(r"[\w-]+", word):
            raise RequestError(f"{word!r} is no valid name; use letters, digits, - and _ only")
    folder = locations.figures_root() / profile
    folder.mkdir(parents=True, exist_ok=True)
    for ending, write in writers.items():
        with replacing(folder / f"{name}{ending}") as path:
            write(path)
    files = [f"[{name}{ending}]({name}{ending})" for ending in writers]
    picture = f"![{name}]({name}.png)\n\n" if ".png" in writers else ""
    sources = [
        source if isinstance(source, str) else f"{source.name}: {source.provenance or 'unknown'}"
        for source in (data if isinstance(data, list) else [data])
    ]
    names = sorted({run.name for run in runs})
    section = f"""{name}

{picture}{" ".join(caption.split())}

- files: {", ".join(files)}
- notebook: {notebook}
- data: {"; ".join(sources)}
- runs: {", ".join(names) or "none"}
"""
    with locked(folder):
        _update(folder, name, section)
    return folder


def _update(folder: Path, name: str, section: str) -> None:
    """Adds a section to index.md and removes sections without files."""
    index, sections = folder / "index.md", {}
    if index.exists():
        _, *texts = index.read_text(encoding="utf-8", errors="replace").split(HEADING)
        sections = {text.split("\n")[0]: text for text in texts}
    sections[name] = section
    kept = [sections[key] for key in sorted(sections) if any(folder.glob(f"{key}.*"))]
    title = f"# Figures and tables of the profile {folder.name}\n"
    write_text(index, HEADING.join([title, *kept]))
