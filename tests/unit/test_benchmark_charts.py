"""Charts of benchmarks show every sample, and say what missed its target."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.measure import Figure, Pairs, Run
from dualtrack.bench import chart

_SVG = "{http://www.w3.org/2000/svg}"


def test_a_chart_is_sound_xml_with_a_dot_for_each_sample() -> None:
    figures = [Figure.of("a < b", [1.0, 2.0, 4.0], "x", 3.0), Figure("once", 7.0, "MiB")]

    drawn = ET.fromstring(chart.draw("title & more", "told", figures))

    assert len(drawn.findall(f"{_SVG}circle")) == 3 + 1
    texts = [each.text for each in drawn.findall(f"{_SVG}text")]
    assert texts == ["title & more", "told", "a < b", "2 x, target ≥ 3", "once", "7 MiB"]


def test_a_missed_target_has_another_colour_than_a_reached_one() -> None:
    reached, missed = (
        chart.draw("t", "t", [Figure.of("f", [1.0], "s", target, "lower")]) for target in (2.0, 0.5)
    )

    assert chart._GOOD in reached
    assert chart._MISSED not in reached
    assert chart._MISSED in missed


def test_a_figure_of_samples_is_their_median_and_keeps_them() -> None:
    figure = Figure.of("f", iter([3.0, 1.0, 2.0]), "s", 2.0, "lower")

    assert (figure.value, figure.samples, figure.reached) == (2.0, (3.0, 1.0, 2.0), True)


def test_ratios_are_taken_pair_by_pair() -> None:
    pairs = Pairs([Run(2.0, 1.0, 0, ""), Run(1.0, 1.0, 0, "")], [Run(1.0, 1.0, 0, ""), Run(3.0, 1.0, 0, "")])

    assert pairs.ratios(lambda run: run.wall) == [0.5, 3.0]
