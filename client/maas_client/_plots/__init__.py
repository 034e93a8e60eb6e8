"""Pictures of answers. What is drawn follows from the names of the outputs; matplotlib is imported only to draw."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from maas_client._result import InferResult
from maas_client.errors import RefusedValueError

MOST_PANELS = 16
_FORMS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"boxes", "label", "score"}), "boxes"),
    (frozenset({"letters", "attention"}), "attention"),
    (frozenset({"forecast"}), "forecast"),
    (frozenset({"embedding"}), "likeness"),
    (frozenset({"label", "score"}), "labels"),
)
"""The outputs that a form of picture needs, and the module that draws it; the first that fits is taken."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One answer to draw.

    Attributes:
        shown: what it is called.
        source: the file, bytes or text that was asked about; None where there was none.
        result: the answer, without a batch axis.
        history: the observations of a sequence; NaN where one is missing.
    """

    shown: str
    source: Path | bytes | str | None
    result: InferResult
    history: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """How answers are drawn, and into which file.

    Attributes:
        form: the module's name.
        path: a PNG file.
    """

    form: str
    path: Path

    def draw(self, panels: Sequence[Panel]) -> None:
        """Draws the answers that came.

        Raises:
            RefusedValueError: there are none, or too many, or the file cannot be written.
        """
        if not 1 <= len(panels) <= MOST_PANELS:
            raise RefusedValueError(f"--plot draws 1 to {MOST_PANELS} answers, got {len(panels)}; pass as many inputs")
        figure = importlib.import_module(f"maas_client._plots.{self.form}").draw(panels)
        try:
            with warnings.catch_warnings():
                # The font lacks some scripts; a box in a letter's place says so without words.
                warnings.filterwarnings("ignore", message="Glyph .* missing from")
                figure.savefig(self.path, dpi=120, format="png")
        except OSError as error:
            raise RefusedValueError(f"{self.path} cannot be written: {error.strerror or error}") from error


def choose_plot(outputs: Collection[str], path: Path | None, *, streams: bool = False) -> Plot | None:
    """How answers with these outputs are drawn; None where no file is wanted.

    Raises:
        RefusedValueError: no form of picture fits, the file is no PNG in a folder that is there, or matplotlib is
            missing.
    """
    if path is None:
        return None
    form = next((form for needed, form in _FORMS if needed <= set(outputs)), None)
    if form is None or streams:
        known = "; ".join(" + ".join(sorted(needed)) for needed, _ in _FORMS)
        what = "a stream" if streams else f"the outputs {', '.join(outputs)}"
        raise RefusedValueError(f"--plot has no picture for {what}; it draws {known}")
    check_png(path)
    return Plot(form, path)


def check_png(path: Path | None) -> None:
    """Refuses a file that no picture can be drawn into; None is none.

    Raises:
        RefusedValueError: it is no PNG in a folder that is there, or matplotlib is missing.
    """
    if path is None:
        return
    if path.suffix.lower() != ".png" or not path.absolute().parent.is_dir():
        raise RefusedValueError(f"--plot wants a .png file in a folder that is there, got {path}")
    if importlib.util.find_spec("matplotlib") is None:
        raise RefusedValueError("--plot needs matplotlib: pip install 'triton-maas[plot]'")
