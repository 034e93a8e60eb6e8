"""The strokes of every drawn digit, and the manner in which each is put on paper.

A stroke is a string of pen positions ``x,y`` in the order in which the pen goes through them, y downwards, on a sheet
about 70 wide and 100 high. The pen runs smoothly through its positions; ``!`` marks one where it turns sharply.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]

BLACK: Colour = (15, 15, 18)
WHITE: Colour = (255, 255, 255)
CHALK: Colour = (236, 236, 226)
SLATE: Colour = (38, 44, 42)
BLUE_INK: Colour = (28, 48, 150)
PENCIL: Colour = (88, 88, 92)
PAPER: Colour = (226, 222, 212)
GREY_PAPER: Colour = (190, 190, 188)


@dataclass(frozen=True)
class Drawing:
    """One digit by one hand, on one kind of paper, in one kind of file."""

    name: str
    """File name: the label, the manner, and the format by its ending."""
    strokes: tuple[str, ...]
    size: tuple[int, int]
    """Width and height of the picture, pixels."""
    at: tuple[float, float]
    """Where the sheet's upper left corner lies in the picture, pixels."""
    height: float
    """How high 100 units of the sheet are in the picture, pixels."""
    pen: float
    """Width of the pen, pixels."""
    ink: Colour = BLACK
    ground: Colour = WHITE
    slant_deg: float = 0.0
    """Lean of the writing; positive leans to the right."""
    shade: float = 0.0
    """How much darker the paper is at its dark end, as a fraction."""
    shade_from: tuple[float, float] = (0.0, 0.0)
    """The brightest place of the paper, as fractions of width and height."""
    grain: float = 0.0
    """How unevenly the ink takes, as a fraction: 0 for a pen, about 0.5 for a pencil."""
    noise: float = 0.0
    """Standard deviation of the camera's noise, grey levels."""
    mode: str = "RGB"
    """Pillow's mode of the file; RGBA and LA have a transparent ground."""
    quality: int = 85
    """JPEG quality."""
    turned: bool = False
    """Stored lying on its side, with the EXIF orientation that sets it upright (as telephones do)."""


# A drawing in three lines can be read as one; the formatter would give each argument a line of its own.
# fmt: off
TEST_DRAWINGS: tuple[Drawing, ...] = (
    Drawing("0_round_thick_dark-on-light.png", ("42,4 22,8 8,26 4,52 12,78 30,95 50,92 64,72 67,45 60,20 46,6 36,5",),
            size=(200, 200), at=(60, 38), height=120, pen=15),
    Drawing("0_narrow_thin_light-on-dark.jpg", ("36,2 24,14 18,40 19,66 26,90 36,98 46,86 51,60 49,30 42,8 32,4",),
            size=(120, 180), at=(22, 28), height=118, pen=3.2, ink=CHALK, ground=SLATE, quality=35),
    Drawing("0_open_blue-ink_uneven-light_off-centre.jpg",
            ("39,5 20,13 7,36 6,66 19,89 40,96 59,80 66,52 60,24 48,11",),
            size=(600, 400), at=(70, 50), height=210, pen=9, ink=BLUE_INK, ground=PAPER, shade=0.45,
            shade_from=(0.1, 0.1), noise=3, quality=45),
    Drawing("0_slanted-right_pencil_small.png", ("50,2 32,10 16,34 9,63 15,90 30,97 46,84 59,58 63,28 57,7 45,4",),
            size=(64, 90), at=(10, 14), height=60, pen=3.2, ink=PENCIL, ground=(244, 243, 240), slant_deg=6, grain=0.3,
            mode="L"),

    Drawing("1_plain_thin_bilevel_small.png", ("36,2 35,30 33,62 34,99",),
            size=(64, 90), at=(8, 16), height=58, pen=2.2, mode="1"),
    Drawing("1_flag-and-foot_thick_dark-on-light.png", ("12,27 27,17 40,2! 41,40 39,93", "15,96 40,94 65,97"),
            size=(240, 320), at=(60, 60), height=190, pen=21, mode="L"),
    Drawing("1_flag_slanted-right_chalk_off-centre.jpg", ("19,26 33,15 43,0! 40,48 36,99",),
            size=(400, 300), at=(250, 60), height=170, pen=8, ink=CHALK, ground=SLATE, slant_deg=14, grain=0.4, noise=5,
            quality=55),
    Drawing("1_slanted-left_white-on-transparent.png", ("26,1 31,34 36,68 41,99",),
            size=(150, 200), at=(26, 30), height=140, pen=9, ink=WHITE, slant_deg=-4, mode="RGBA"),

    Drawing("2_loop_blue-ink_paper-grey.png",
            ("9,25 17,8 36,2 54,11 56,31 44,55 26,77 12,91 3,93 2,84 12,80 30,89 46,97 60,95 69,86",),
            size=(300, 300), at=(80, 60), height=170, pen=8, ink=BLUE_INK, ground=GREY_PAPER),
    Drawing("2_flat-foot_thick_bilevel.png", ("8,26 15,8 34,1 54,9 59,27 51,46 31,71 8,95! 36,94 67,96",),
            size=(160, 200), at=(32, 34), height=130, pen=15, mode="1"),
    Drawing("2_thin_light-on-dark_off-centre.jpg", ("13,21 25,5 44,3 56,16 52,38 36,62 17,83 7,95! 34,91 63,93",),
            size=(500, 350), at=(40, 120), height=190, pen=4.5, ink=(250, 250, 250), ground=(12, 12, 30), quality=40),
    Drawing("2_slanted-right_pencil_noise.jpg", ("5,30 10,12 28,3 48,7 55,23 47,46 29,69 9,91! 24,87 44,93 66,87",),
            size=(180, 240), at=(45, 50), height=130, pen=6, ink=PENCIL, ground=(232, 232, 230), slant_deg=12,
            grain=0.4, noise=8, mode="L", quality=60),

    Drawing("3_round_thick_dark-on-transparent.png",
            ("9,15 25,2 46,5 56,20 47,37 27,47! 49,51 62,67 57,87 37,98 16,94 5,83",),
            size=(220, 260), at=(55, 48), height=165, pen=19, mode="RGBA"),
    Drawing("3_flat-top_thin_dark-on-light.png", ("10,5 34,3 60,4! 44,24 29,42! 50,46 62,63 58,84 38,97 16,95 5,85",),
            size=(180, 220), at=(46, 40), height=140, pen=3.6, mode="L"),
    Drawing("3_slanted-left_light-on-dark_low-quality.jpg",
            ("11,20 20,6 38,2 52,13 50,30 37,42 25,46! 44,47 60,59 62,79 46,96 23,97 7,87",),
            size=(260, 200), at=(90, 30), height=140, pen=9, ink=(235, 220, 120), ground=(60, 20, 24), slant_deg=-14,
            quality=18),
    Drawing("3_looped-middle_coloured-ground.png",
            ("7,13 25,2 46,7 51,24 41,39 28,46 20,43 24,37 33,43 48,50 62,66 58,87 38,98 15,95 3,85",),
            size=(240, 240), at=(70, 40), height=160, pen=7, ink=(90, 20, 30), ground=(250, 214, 120), mode="P"),

    Drawing("4_open_thick_dark-on-light.png", ("22,4 15,32 6,58! 36,59 68,55", "50,24 48,60 45,99"),
            size=(200, 240), at=(42, 46), height=150, pen=16, mode="I;16"),
    Drawing("4_closed_pencil_uneven-light.jpg", ("47,3 28,31 5,65! 36,64 70,62", "49,1 48,40 46,99"),
            size=(420, 320), at=(140, 60), height=190, pen=7, ink=(70, 70, 74), ground=PAPER, shade=0.5,
            shade_from=(1.0, 0.2), grain=0.3, noise=4, quality=50),
    Drawing("4_open_curved_light-on-dark.png", ("13,6 10,28 15,46 33,53 54,50", "57,4 55,50 50,99"),
            size=(128, 128), at=(36, 18), height=90, pen=7, ink=(240, 240, 240), ground=(30, 30, 90)),
    Drawing("4_closed_slanted-right_thin.png", ("45,4 25,33 5,62! 34,60 67,61", "46,3 45,50 42,98"),
            size=(110, 150), at=(20, 24), height=98, pen=2.8, ink=BLUE_INK, ground=(248, 248, 244), slant_deg=14),

    Drawing("5_bar-apart_marker_dark-on-light.jpg",
            ("18,8 14,43! 34,37 54,45 62,64 54,86 34,97 12,94 3,85", "23,6 42,4 64,3"),
            size=(320, 320), at=(95, 60), height=195, pen=18, ink=(24, 20, 20), ground=(240, 240, 240), quality=30),
    Drawing("5_one-stroke_light-on-dark.png", ("61,4 38,4 19,7! 15,43! 36,37 58,47 62,69 50,90 28,98 6,91",),
            size=(140, 190), at=(38, 36), height=115, pen=8, ink=WHITE, ground=(0, 0, 0), mode="L"),
    Drawing("5_thin_bar-tilted_telephone.jpg",
            ("17,10 13,45! 30,39 50,43 60,61 56,82 40,96 20,98 5,91", "22,10 44,6 66,1"),
            size=(360, 480), at=(90, 120), height=230, pen=6, ink=(40, 44, 60), ground=(214, 210, 204), shade=0.3,
            shade_from=(0.2, 0.9), noise=3, quality=40, turned=True),
    Drawing("5_rounded_slanted-right_bilevel.png",
            ("60,3 40,4 22,6! 17,24 13,44! 28,39 48,43 60,58 59,78 44,95 20,97 5,88",),
            size=(150, 210), at=(32, 38), height=130, pen=7, slant_deg=12, mode="1"),

    Drawing("6_big-loop_thick_light-on-dark.jpg", ("50,2 28,20 12,48 8,74 20,95 42,97 58,82 56,62 40,52 22,60 11,77",),
            size=(260, 260), at=(85, 40), height=165, pen=17, ink=CHALK, ground=(20, 60, 44), noise=4, quality=50),
    Drawing("6_curled_thin_off-centre.png",
            ("57,9 44,2 28,10 14,34 8,62 12,86 30,98 50,92 58,74 50,58 32,54 16,64 9,76",),
            size=(300, 200), at=(16, 24), height=112, pen=3, mode="L"),
    Drawing("6_straight-stem_blue-ink_paper.jpg", ("44,0 28,26 14,54 10,78 22,97 44,97 58,80 52,62 34,58 17,69",),
            size=(600, 400), at=(330, 110), height=230, pen=11, ink=BLUE_INK, ground=PAPER, shade=0.25,
            shade_from=(0.5, 0.0), quality=45),
    Drawing("6_small-loop_slanted-left_pencil.png", ("40,2 24,24 13,52 14,80 26,97 43,94 50,79 42,66 28,67 17,80",),
            size=(100, 140), at=(26, 24), height=92, pen=4, ink=PENCIL, ground=(236, 236, 232), slant_deg=-12,
            grain=0.3, mode="I;16"),

    Drawing("7_bar_dark-on-light.png", ("6,7 34,5 63,4! 46,40 30,98", "21,51 40,48 59,46"),
            size=(64, 90), at=(10, 16), height=58, pen=4.2, mode="L"),
    Drawing("7_plain_thick_light-on-dark.jpg", ("7,8 34,7 61,6! 44,44 26,98",),
            size=(240, 300), at=(65, 60), height=170, pen=20, ink=(230, 230, 230), ground=(70, 70, 74), quality=40),
    Drawing("7_serif_thin_paper-grey_noise.jpg", ("8,23 9,5! 34,7 65,4! 48,34 36,66 32,99",),
            size=(220, 280), at=(65, 56), height=160, pen=4.5, ink=BLACK, ground=GREY_PAPER, noise=9, quality=65),
    Drawing("7_bar-slanted-right_coloured-ink.png", ("5,11 20,5 40,8 65,4! 46,32 34,62 29,98", "17,53 36,49 54,45"),
            size=(200, 200), at=(60, 34), height=130, pen=7, ink=(190, 30, 40), ground=(255, 250, 235), slant_deg=8,
            mode="P"),

    Drawing("8_one-stroke_open_dark-on-light.png",
            ("56,15 38,2 17,9 15,28 34,44 54,60 60,80 44,97 20,96 8,80 16,60 36,44 51,29 59,19",),
            size=(180, 240), at=(50, 46), height=145, pen=9, mode="L"),
    Drawing("8_two-rings_thick_white-on-transparent.png",
            ("36,2 19,9 15,27 33,43 51,32 53,13 39,3", "34,46 13,57 6,79 27,97 52,93 63,71 52,53 37,45"),
            size=(240, 300), at=(70, 56), height=185, pen=14, ink=WHITE, mode="LA"),
    Drawing("8_from-middle_slanted-right_chalk.jpg",
            ("36,47 18,34 15,14 34,2 52,12 50,32 34,48 14,64 8,84 28,99 52,94 60,74 46,55 34,45",),
            size=(400, 300), at=(50, 40), height=205, pen=9, ink=CHALK, ground=SLATE, slant_deg=13, grain=0.4, noise=4,
            shade=0.3, shade_from=(0.8, 0.5), quality=50),
    Drawing("8_narrow_thin_blue-ink.jpg",
            ("49,15 36,3 22,10 22,28 36,46 49,64 48,86 34,98 20,88 20,66 34,48 46,31 49,20",),
            size=(140, 200), at=(36, 38), height=125, pen=4, ink=BLUE_INK, ground=(245, 245, 250), quality=45),

    Drawing("9_straight-tail_dark-on-light.png", ("53,20 40,4 19,8 8,28 16,48 36,52 51,38 56,14! 54,50 51,99",),
            size=(200, 260), at=(56, 50), height=160, pen=10, mode="I;16"),
    Drawing("9_curved-tail_thick_uneven-light.jpg",
            ("57,15 42,2 20,6 9,26 18,47 38,51 53,37 58,14! 61,50 53,82 35,98 11,93",),
            size=(500, 380), at=(190, 70), height=230, pen=23, ink=(50, 46, 48), ground=(222, 214, 200), shade=0.45,
            shade_from=(0.0, 1.0), noise=4, quality=40),
    Drawing("9_open-loop_slanted-right_light-on-dark.png",
            ("49,5 30,3 12,20 9,40 25,52 46,44 57,24 59,7! 56,50 48,98",),
            size=(90, 120), at=(14, 20), height=80, pen=4, ink=(255, 255, 255), ground=(20, 20, 20), slant_deg=10,
            mode="L"),
    Drawing("9_thin_slanted-left_dark-on-transparent.png", ("48,13 32,4 16,14 13,34 27,47 43,40 51,17! 49,56 47,98",),
            size=(160, 220), at=(52, 40), height=135, pen=3.6, slant_deg=-12, mode="RGBA"),
)

EXAMPLE_DRAWINGS: tuple[Drawing, ...] = (
    Drawing("0_pen_dark-on-light.png", ("38,3 18,16 7,46 14,80 34,97 54,84 63,52 55,18 40,4 33,5",),
            size=(160, 160), at=(50, 28), height=102, pen=8, mode="L"),
    Drawing("1_flag_blue-ink.jpg", ("21,23 32,14 42,1! 40,46 41,98",),
            size=(240, 240), at=(70, 40), height=160, pen=9, ink=BLUE_INK, ground=PAPER, quality=60),
    Drawing("2_chalk_light-on-dark.jpg", ("10,22 22,4 42,3 54,18 48,42 28,70 9,93! 38,94 66,92",),
            size=(320, 240), at=(120, 40), height=155, pen=9, ink=CHALK, ground=SLATE, grain=0.4, noise=4, quality=60),
    Drawing("3_thick_marker.png", ("9,11 28,2 49,8 53,25 44,38 26,46! 50,50 63,69 54,91 31,98 7,88",),
            size=(200, 220), at=(62, 36), height=145, pen=16, ink=(160, 20, 60)),
    Drawing("4_open_thin.png", ("27,3 18,30 7,61! 38,60 69,58", "52,30 51,62 48,98"),
            size=(120, 160), at=(26, 30), height=100, pen=3.4, mode="L"),
    Drawing("5_uneven-light.jpg", ("20,6 15,44! 36,37 56,47 61,68 51,90 29,97 7,88", "21,7 42,5 63,5"),
            size=(480, 360), at=(170, 70), height=215, pen=13, ink=(44, 44, 52), ground=PAPER, shade=0.4,
            shade_from=(0.1, 0.8), noise=3, quality=45),
    Drawing("6_slanted-right_pencil.png", ("46,2 27,22 13,49 10,77 22,96 43,95 56,79 50,62 32,59 15,72",),
            size=(140, 180), at=(34, 32), height=115, pen=5, ink=PENCIL, ground=(240, 240, 236), slant_deg=10,
            grain=0.3, mode="L"),
    Drawing("7_bar_white-on-transparent.png", ("8,9 36,6 63,6! 45,42 33,98", "24,52 42,49 58,49"),
            size=(180, 220), at=(56, 40), height=140, pen=9, ink=WHITE, mode="RGBA"),
    Drawing("8_light-on-dark_small.png",
            ("53,13 36,3 18,11 18,29 35,45 52,60 58,79 43,96 21,95 10,79 19,60 37,45 51,29 54,16",),
            size=(64, 90), at=(12, 15), height=60, pen=4, ink=(240, 240, 240), ground=(10, 10, 40)),
    Drawing("9_curved-tail_paper-grey.jpg", ("55,14 40,3 19,9 11,29 21,47 40,49 53,36 57,13! 58,54 50,84 33,97 15,91",),
            size=(300, 400), at=(90, 90), height=215, pen=12, ground=GREY_PAPER, noise=6, quality=50),
)
