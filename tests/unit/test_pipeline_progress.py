"""How far a run has come, from lengths that threads tell in any order."""

import math

from emocli.pipeline.progress import Tally


def test_lengths_not_known_yet_are_taken_for_the_mean_of_those_known():
    tally = Tally(6, None, n_before=2)
    assert math.isnan(tally.progress.expected_seconds)
    tally.expect(2, 30.0)
    tally.expect(0, math.nan)
    tally.expect(0, 10.0)
    assert tally.progress.expected_seconds == 80.0
    tally.expect(2, 20.0)  # a header that was wrong
    assert tally.progress.expected_seconds == 60.0
    tally.heard(70.0)
    assert tally.progress.expected_seconds == 70.0
