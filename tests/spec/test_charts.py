"""Charts: thinning keeps the picture, scales move in steps, pictures have the size asked for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.charts.picture import Chart, Curve, draw
from epochal.charts.scale import Scale, growing, label, round_step, stepped
from epochal.charts.thin import Thinner, bin_width, smooth, thin


FINITE = st.floats(-1e6, 1e6)


class TestThinning:
    def test_keeps_the_lowest_and_the_highest_of_each_bin_in_the_order_they_came(self):
        xs, ys = thin([0, 1, 2, 3, 4, 5, 6, 7], [5, 9, 1, 4, 2, 2, 8, 3], 4)

        assert list(zip(xs, ys, strict=True)) == [(1, 9), (2, 1), (4, 2), (6, 8)]

    def test_leaves_out_what_is_not_finite(self):
        assert thin([0, 1, 2], [math.nan, 1.0, math.inf], 1) == ((1,), (1.0,))

    @given(st.lists(FINITE, min_size=1, max_size=200), st.integers(0, 6))
    def test_never_loses_the_extremes(self, ys, power):
        _xs, kept = thin(range(len(ys)), ys, 2.0**power)

        assert (min(kept), max(kept)) == (min(ys), max(ys))

    @given(st.lists(FINITE, min_size=1, max_size=300))
    def test_a_point_more_never_moves_a_bin_that_is_complete(self, ys):
        width = 8
        before = thin(range(len(ys)), ys, width)
        after = thin(range(len(ys) + 1), [*ys, 0.0], width)
        complete = [(x, y) for x, y in zip(*before, strict=True) if x // width < len(ys) // width]

        assert list(zip(*after, strict=True))[: len(complete)] == complete

    @given(st.lists(FINITE, min_size=1, max_size=400), st.integers(1, 50))
    def test_a_curve_taken_in_pieces_is_the_curve_taken_whole(self, ys, piece):
        whole, pieces = Thinner(max_bins=16), Thinner(max_bins=16)
        whole.extend(range(len(ys)), ys)
        for start in range(0, len(ys), piece):
            part = ys[start : start + piece]
            pieces.extend(range(start, start + len(part)), part)

        assert pieces.points() == whole.points()

    def test_a_long_curve_stays_within_its_bins(self):
        thinner = Thinner(max_bins=64)
        thinner.extend(range(100_000), [math.sin(n / 500) for n in range(100_000)])
        xs, ys = thinner.points()

        assert len(xs) <= 2 * 64
        assert (round(min(ys), 3), round(max(ys), 3)) == (-1.0, 1.0)

    @pytest.mark.parametrize(("span", "bins", "width"), [(100, 100, 1), (101, 100, 2), (29, 60, 0.5), (0, 10, 2**-10)])
    def test_bins_are_as_wide_as_a_power_of_two(self, span, bins, width):
        assert bin_width(span, bins) == width


class TestSmoothing:
    def test_starts_at_the_first_value_and_not_at_zero(self):
        assert smooth([4.0, 4.0, 4.0], 0.9) == pytest.approx([4.0, 4.0, 4.0])

    def test_passes_over_what_is_not_finite(self):
        result = smooth([1.0, math.nan, 1.0], 0.5)

        assert result[0] == result[2] == 1.0
        assert math.isnan(result[1])


class TestScales:
    @given(FINITE, FINITE)
    def test_hold_all_values_between_round_limits(self, a, b):
        scale = stepped([a, b], 5)

        assert scale.place(min(a, b)) >= -1e-9
        assert scale.place(max(a, b)) <= 1 + 1e-9

    def test_stand_still_while_the_values_fit(self):
        before = stepped([0.1, 1.1], 5)

        assert stepped([0.2, 1.05], 5, before=before) is before
        assert stepped([0.2, 1.3], 5, before=before) is not before

    def test_move_when_the_values_fill_less_than_half(self):
        before = stepped([0.0, 1.0], 5)

        assert stepped([0.0, 0.3], 5, before=before).high < 0.5

    def test_logarithmic_ones_have_ticks_at_1_2_5_and_leave_out_what_is_not_positive(self):
        assert stepped([0.02, 0.9, 0.0, -1.0], 6, log=True).ticks == (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

    def test_without_values_there_is_still_a_scale(self):
        assert stepped([math.nan], 5) == Scale(0.0, 1.0, (0.0, 0.5, 1.0))

    def test_a_constant_gets_room_above_and_below(self):
        scale = stepped([3.0, 3.0], 5)

        assert scale.low < 3 < scale.high

    @pytest.mark.parametrize(("span", "step"), [(1.0, 0.2), (29, 10), (0.9, 0.2), (0, 1.0)])
    def test_steps_are_round(self, span, step):
        assert round_step(span, 5) == step

    def test_a_run_under_way_shows_the_smallest_half_that_it_fits(self):
        assert [growing(d, 64) for d in (1, 3, 7, 20, 60, 64)] == [2, 4, 8, 32, 64, 64]

    @pytest.mark.parametrize(
        ("value", "step", "text"),
        [
            (0.25, 0.25, "0.25"),
            (1.0, 0.5, "1.0"),
            (12_500, 500, "12 500"),
            (2e-5, 1e-5, "2e-5"),
            (0, 1, "0"),
            (-0.4, 0.2, "−0.4"),
        ],
    )
    def test_ticks_have_as_many_places_as_their_step_needs(self, value, step, text):
        assert label(value, step) == text

    @pytest.mark.parametrize("values", [(0, 1.9e6), (1.21e7, 1.29e7), (0.693147, 0.6931478), (1e-9, 1.1e-9)])
    def test_differs_from_the_next_ones(self, values):
        ticks = stepped(values, 8).ticks
        said = [label(tick, ticks[1] - ticks[0]) for tick in ticks]

        assert len(set(said)) == len(ticks)


class TestPictures:
    @pytest.mark.parametrize("size", [(20, 6), (61, 17), (180, 40), (7, 3)])
    def test_are_exactly_as_large_as_asked(self, size):
        width, height = size
        chart = Chart(
            x=Scale(0, 10, (0, 5, 10)), y=stepped([0, 1], 4), curves=(Curve(role="train", xs=(0, 10), ys=(1, 0)),)
        )
        lines = ["".join(text for text, _ in line) for line in draw(chart, width, height)]

        assert (len(lines), {len(line) for line in lines}) == (height, {width})

    def test_a_falling_curve_goes_from_the_upper_left_to_the_lower_right(self):
        chart = Chart(
            x=Scale(0, 8, (0, 4, 8)),
            y=Scale(0, 1, (0, 0.5, 1)),
            curves=(Curve(role="train", xs=(0, 8), ys=(1, 0)),),
            x_title="epoch",
        )

        assert ["".join(text for text, _ in line) for line in draw(chart, 24, 8)] == [
            "1.0┤⠠⢄⡀                 ",
            "   │  ⠈⠑⠢⢄⡀             ",
            "0.5┤      ⠈⠒⠤⣀          ",
            "   │          ⠉⠒⠤⡀      ",
            "   │             ⠈⠑⠢⢄⡀  ",
            "  0┤                 ⠈⠑⠂",
            "   └┬─────────┬─────────",
            "    0         4    epoch",
        ]

    @pytest.mark.parametrize("place", [0.0, 0.03, 0.142, 0.31, 0.49, 0.7012, 0.9166, 1.0])
    @pytest.mark.parametrize("size", [(40, 17), (80, 12), (33, 9)])
    def test_a_mark_stands_on_the_dot_it_marks(self, place, size):
        def cells(**of):
            chart = Chart(x=Scale(0, 1, (0, 1)), y=Scale(0, 1, (0, 1)), **of)
            picture = ["".join(t for t, _ in line) for line in draw(chart, *size)]
            return [(r, c) for r, line in enumerate(picture) for c, sign in enumerate(line) if sign in marks]

        marks = {"●", *(chr(0x2800 + dots) for dots in range(1, 256))}
        dot = cells(curves=(Curve(role="train", xs=(place,), ys=(1 - place,), joined=False),))

        assert len(dot) == 1
        assert cells(marks=((place, 1 - place, "●"),)) == dot

    def test_validation_is_told_from_train_without_colour(self):
        x, y = Scale(0, 10, (0, 10)), Scale(0, 1, (0, 1))
        solid = draw(Chart(x=x, y=y, curves=(Curve(role="train", xs=(0, 10), ys=(0.5, 0.5)),)), 40, 6)
        dashes = draw(
            Chart(x=x, y=y, curves=(Curve(role="validation", xs=(0, 10), ys=(0.5, 0.5), dashed=True),)), 40, 6
        )
        count = [sum(c == " " for line in picture for text, _ in line for c in text) for picture in (solid, dashes)]

        assert count[1] > count[0]

    def test_a_baseline_stands_as_a_named_line_behind_the_curve(self):
        chart = Chart(x=Scale(0, 10, (0, 10)), y=Scale(0, 1, (0, 1)), levels=((0.4, "trivial 0.400"),))
        text = "\n".join("".join(t for t, _ in line) for line in draw(chart, 50, 8))

        assert "┈trivial 0.400┈" in text

    @pytest.mark.parametrize(("ascii_only", "sign"), [(False, "┊"), (True, ":")])
    def test_a_seam_stands_upright_behind_the_curve(self, ascii_only, sign):
        chart = Chart(
            x=Scale(0, 10, (0, 10)),
            y=Scale(0, 1, (0, 1)),
            curves=(Curve(role="train", xs=(0, 10), ys=(0.5, 0.5)),),
            seams=(5.0, 50.0),
            ascii=ascii_only,
        )
        rows = ["".join(text for text, _ in line) for line in draw(chart, 41, 9)][:-2]
        places = {row.index(sign, 6) for row in rows if sign in row[6:]}

        assert len(places) == 1
        assert sum(sign in row[6:] for row in rows) == len(rows) - 1

    def test_the_linux_console_gets_ascii(self):
        chart = Chart(
            x=Scale(0, 10, (0, 10)),
            y=Scale(0, 1, (0, 1)),
            curves=(Curve(role="train", xs=(0, 10), ys=(0, 1)),),
            ascii=True,
        )

        assert all(c.isascii() for line in draw(chart, 40, 8) for text, _ in line for c in text)

    def test_a_point_more_changes_few_cells(self):
        def picture(num):
            xs = [n / 10 for n in range(num)]
            curve = Curve(role="train", xs=xs, ys=[math.exp(-x / 10) for x in xs])
            return draw(Chart(x=Scale(0, 64, (0, 32, 64)), y=Scale(0, 1, (0, 1)), curves=(curve,)), 100, 20)

        before, after = ([c for line in picture(n) for text, _ in line for c in text] for n in (400, 404))

        assert 0 < sum(a != b for a, b in zip(before, after, strict=True)) <= 4


def test_a_logarithmic_axis_leaves_no_decade_empty_at_either_end():
    scale = stepped([0.0006, 1.2], 5, log=True)

    assert (scale.low, scale.high) == (0.0005, 2.0)
    assert scale.ticks == (0.001, 0.01, 0.1, 1.0)


@pytest.mark.parametrize("ascii_only", [False, True])
def test_train_validation_and_another_run_are_told_apart_without_colour(ascii_only):
    def drawn(role):
        line = Curve(role=role, xs=(0, 10), ys=(1, 1), dashed=role == "validation", dotted=role == "old")
        scale = Scale(0, 10, (0, 10))
        chart = Chart(x=scale, y=Scale(0, 2, (0, 2)), curves=(line,), ascii=ascii_only)
        return "".join(text for row in draw(chart, 60, 12) for text, name in row if name == role)

    assert len({drawn(role) for role in ("train", "validation", "old")}) == 3


class TestStages:
    def test_stand_as_lines_with_their_words_behind_the_curves(self):
        chart = Chart(
            x=Scale(0, 8, (0.0, 4.0, 8.0)),
            y=Scale(0, 1, (0.0, 1.0)),
            curves=(Curve(role="train", xs=(0.0, 8.0), ys=(0.0, 0.0)),),
            stages=((4.0, "50%"), (8.0, "100%")),
        )
        lines = ["".join(text for text, _ in line) for line in draw(chart, 40, 8)]

        assert "╎50%" in lines[0]
        assert "100%" not in lines[0]  # no room for it
        assert sum("╎" in line for line in lines) >= 5
