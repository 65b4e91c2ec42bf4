"""How far a run has come, for whoever shows it."""

import math
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        utterances_done: utterances with a result, failed ones among them.
        n_utterances: all of them.
        seconds_done: seconds of audio that went through the models; 0 for text.
        expected_seconds: estimate of all seconds of audio in this run; NaN before the first
            header was read and for text.
        n_failed: utterances with an error.
        n_before: utterances that an earlier run has done; they are among ``utterances_done``.
    """

    utterances_done: int = 0
    n_utterances: int = 0
    seconds_done: float = 0.0
    expected_seconds: float = math.nan
    n_failed: int = 0
    n_before: int = 0

    def since(self, before: "Progress") -> "Progress":
        """What has been done since then; what is expected is that of now."""
        return replace(
            self,
            utterances_done=self.utterances_done - before.utterances_done,
            seconds_done=self.seconds_done - before.seconds_done,
            n_failed=self.n_failed - before.n_failed,
        )


ProgressCallback = Callable[[Progress], None]


class Tally:
    """Counts what is done and tells a callback.

    Args:
        n_utterances: how many there are.
        callback: what to tell, None for nothing.
        n_before: how many of them an earlier run has done.
    """

    def __init__(
        self, n_utterances: int, callback: ProgressCallback | None, n_before: int = 0
    ) -> None:
        self._lengths = array("d", [math.nan]) * n_utterances
        self._n_known = 0
        self._sum_known = 0.0
        self._lock = threading.Lock()
        self._n_utterances = n_utterances
        self._callback = callback
        self._done = n_before
        self._n_before = n_before
        self._failed = 0
        self._seconds = 0.0

    def expect(self, place: int, seconds: float) -> None:
        """The length of a recording that was begun, by its header; threads may tell it.

        Args:
            place: of the utterance among those of this run.
            seconds: its length, NaN where the header does not say; the last one told counts.
        """
        if math.isnan(seconds):
            return
        with self._lock:
            before = self._lengths[place]
            if math.isnan(before):
                self._n_known += 1
                before = 0.0
            self._lengths[place] = seconds
            self._sum_known += seconds - before

    def heard(self, seconds: float) -> None:
        """Some audio went through the models."""
        self._seconds += seconds

    def finished(self, *, failed: bool) -> None:
        """An utterance has all its rows."""
        self._done += 1
        self._failed += failed

    def add(self, other: Progress) -> None:
        """Utterances that were counted elsewhere."""
        self.expect(
            self._done - self._n_before, other.expected_seconds / max(1, other.n_utterances)
        )
        self._done += other.utterances_done
        self._failed += other.n_failed
        self._seconds += other.seconds_done

    def report(self) -> None:
        """Tell the callback."""
        if self._callback is not None:
            self._callback(self.progress)

    @property
    def progress(self) -> Progress:
        """What is counted so far."""
        return Progress(
            utterances_done=self._done,
            n_utterances=self._n_utterances,
            seconds_done=self._seconds,
            expected_seconds=self._expected_seconds(),
            n_failed=self._failed,
            n_before=self._n_before,
        )

    def _expected_seconds(self) -> float:
        """All seconds of this run, if headers not read yet say the same on average as others."""
        if not self._n_known:
            return math.nan
        n_now = self._n_utterances - self._n_before
        return max(self._sum_known / self._n_known * n_now, self._seconds)
