"""Progress on stderr: a bar per epoch on a terminal, otherwise one line per epoch."""

import sys

from tqdm import tqdm

from seapkg.training.batches import Batches
from seapkg.training.early_stopping import MONITOR, EarlyStopping


class Progress:
    """Shows batches and epochs.

    Args:
        show: False shows nothing.
    """

    def __init__(self, show: bool) -> None:
        is_terminal = sys.stderr.isatty()
        self.show_bar, self.show_lines = show and is_terminal, show and not is_terminal
        self.summary = ""

    def epoch(self, batches: Batches, epoch: int) -> tqdm:
        """The batches of an epoch; a bar follows them."""
        return tqdm(
            batches.epoch(),
            desc=f"epoch {epoch}{self.summary}",
            total=len(batches),
            leave=False,
            disable=not self.show_bar,
            dynamic_ncols=True,
        )

    def end_epoch(self, best: EarlyStopping) -> None:
        """Shows the loss and the valid Recall@20 of the last epoch, and those of the best one."""
        row, highest = best.curves[-1], best.valid[MONITOR]
        valid = f"valid R@20 {row[f'valid/{MONITOR}']:.4f}"
        summary = f"loss {row['loss']:.4f}, {valid}, best {highest:.4f} at epoch {best.best_epoch}"
        self.summary = f" ({summary})"
        if self.show_lines:
            sys.stderr.write(f"epoch {row['epoch']}: {summary}\n")
            sys.stderr.flush()
