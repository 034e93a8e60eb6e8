"""What a cell of a table means as a share."""

from __future__ import annotations

import numpy as np
import pytest

from maas_export.python_models import load_module

SHARES = load_module("adoption_preprocess", "shares")


@pytest.mark.parametrize(
    ("cell", "share"),
    [
        ("12 %", 0.12),
        (" 0.12 ", 0.12),
        ("0,12", 0.12),
        ("12,5%", 0.125),
        (".5", 0.5),
        ("1", 1.0),
        ("0", 0.0),
        ("1e-3", 0.001),
        ("7\N{NO-BREAK SPACE}%", 0.07),
        ("\N{ZERO WIDTH SPACE}0.3\r", 0.3),
        ("\N{FULLWIDTH DIGIT FOUR}0\N{FULLWIDTH PERCENT SIGN}", 0.4),
    ],
)
def test_a_share_is_read_however_it_is_written(cell: str, share: float) -> None:
    assert SHARES.read_share(cell.encode()) == pytest.approx(share)


@pytest.mark.parametrize("cell", ["", "  ", "n/a", "NA", "NaN", "-", "–", "?", "missing", "\N{BYTE ORDER MARK}"])
def test_a_missing_share_is_none(cell: str) -> None:
    assert SHARES.read_share(cell.encode()) is None


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (b"twelve", "'twelve' is no share; write 0.12 or 12 %"),
        (b"12", "'12' is not between 0 and 1.*did you mean 12 %"),
        (b"101 %", "not between 0 and 1"),
        (b"-3 %", "not between 0 and 1"),
        ("\N{MINUS SIGN}0.1".encode(), "not between 0 and 1"),
        (b"1_0", "no share"),
        (b"inf", "no share"),
        (b"0.1.2", "no share"),
        (b"\xff", "not UTF-8"),
        (b"0" * 65, "the observation has 65 bytes, at most 64 are read"),
    ],
)
def test_what_is_no_share_is_told(cell: bytes, reason: str) -> None:
    with pytest.raises(SHARES.ItemError, match=reason):
        SHARES.read_share(cell)


def test_a_bad_cell_does_not_harm_the_others() -> None:
    share, known, errors = SHARES.read_shares([b"20 %", b"many", b""])
    np.testing.assert_allclose(share, [[0.2], [0.0], [0.0]])
    assert known.tolist() == [[True], [False], [False]]
    assert (share.dtype, known.dtype) == (np.float32, np.bool_)
    assert [bool(error) for error in errors] == [False, True, False]
