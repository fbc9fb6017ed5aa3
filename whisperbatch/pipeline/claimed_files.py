"""Hold files that another run has claimed, and queue them again when that run has finished them or died.

This also closes the queue of files, once the source has ended and no file can come back.
"""

import threading
from collections.abc import Callable

from whisperbatch.pipeline.open_files import Job

LOOK_S = 0.5  # between checks of the journal; runs cannot notify each other


class ClaimedFiles:
    """Jobs on hold, and the number of undecided ones; any thread may call it."""

    def __init__(
        self, put_back: Callable[[Job], bool], close: Callable[[], None], is_free: Callable[[Job], bool]
    ) -> None:
        """Start empty; ``put_back`` queues a job again and ``close`` ends that queue."""
        self._put_back, self._close, self._is_free = put_back, close, is_free
        self._jobs: list[Job] = []
        self._n_undecided = 0
        self._source_ended = False
        self._is_over = False
        self._changed = threading.Condition()

    def expect(self) -> None:
        """Count a file that is about to be queued."""
        with self._changed:
            self._n_undecided += 1

    def decided(self) -> None:
        """Count a queued file as decided."""
        with self._changed:
            self._n_undecided -= 1
            self._close_at_the_end()

    def add(self, job: Job) -> None:
        """Hold a file until the run that claimed it has finished it."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def end_of_source(self) -> None:
        """The source has ended: expect no further files."""
        with self._changed:
            self._source_ended = True
            self._close_at_the_end()

    def abort(self) -> None:
        """Drop all files."""
        with self._changed:
            self._is_over = True
            self._jobs.clear()
            self._changed.notify_all()

    def work(self) -> None:
        """Put files back as they become free, until no more can come."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._is_over)
                self._changed.wait_for(lambda: self._is_over, LOOK_S)
                if self._is_over:
                    return
                jobs, self._jobs = self._jobs, []
            free = {job.file_id for job in jobs if self._is_free(job)}
            for job in jobs:
                if job.file_id not in free:
                    self.add(job)
                elif not self._put_back(job):
                    return

    def _close_at_the_end(self) -> None:
        if self._source_ended and self._n_undecided == 0:
            self._is_over = True
            self._close()
            self._changed.notify_all()
