"""The three-sample test of data copying (Meehan, Chaudhuri and Dasgupta 2020)."""

import numpy as np

from adloom.arrays import AnyArray
from adloom.evaluation import statistics

MIN_ROWS = 10  # test pictures, and generated ones, of a cell; smaller cells are left out


def ct_statistic(distance: AnyArray, is_generated: AnyArray, cell: AnyArray, weights: AnyArray) -> float:
    """
    Return the mean over cells of the z score of Mann-Whitney's U, weighted by test pictures.

    Columns are of test and generated pictures together: the distance to the nearest training picture, and the cell.
    Below 0, generated pictures are nearer to the training pictures than new real ones are. If every cell is too small,
    all pictures are one cell.
    """
    scores, sizes = [], []
    for rows in _split_cells(is_generated, cell):
        generated, weight = is_generated[rows], weights[rows]
        copies, tests = float(weight[generated].sum()), float(weight[~generated].sum())
        if copies and tests:
            spread = np.sqrt((copies + tests + 1) / (12 * copies * tests))
            scores.append((statistics.auc(generated, distance[rows], weight) - 0.5) / spread)
            sizes.append(tests)
    return float(np.average(scores, weights=sizes)) if scores else float("nan")


def _split_cells(is_generated: AnyArray, cell: AnyArray) -> list[AnyArray]:
    """Return the rows of each cell that is large enough, by all rows whatever their weights."""
    cells = [np.flatnonzero(cell == number) for number in np.unique(cell)]
    large = [rows for rows in cells if min(is_generated[rows].sum(), (~is_generated[rows]).sum()) >= MIN_ROWS]
    return large or [np.arange(len(cell))]
