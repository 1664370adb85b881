"""The piano roll of a melody."""

from adloom.evaluation import figures
from adloom.music.tune import WHOLE, Metre, Tune

NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")


def draw_piano_roll(tune: Tune) -> bytes:
    """Draw pitch over bars as PNG."""
    bar = tune.metre.ticks if tune.metre else WHOLE
    figure, ax = figures.create_axes(9.6, 3.2)
    start = 0
    for note in tune.notes:
        if note.pitch is not None:
            ax.barh(note.pitch, 0.94 * note.ticks / bar, left=1 + start / bar, height=0.8, color=figures.COLOURS[0])
        start += note.ticks
    pitches = {note.pitch for note in tune.notes if note.pitch is not None}
    ax.set_yticks(sorted(pitches), [f"{NAMES[pitch % 12]}{pitch // 12 - 1}" for pitch in sorted(pitches)])
    ax.set_xticks(range(1, len(tune.bars) + 2))
    ax.set_xlim(1, 1 + start / bar)
    figures.set_labels(ax, f"{tune.metre or Metre(4, 4)}", x="bar", y="pitch")
    return figures.to_png(figure)
