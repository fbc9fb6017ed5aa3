"""Choose the language in which a window is decoded. Policy only: no torch.

A clip without a given language takes its file's, on which the file's voters vote. If voters are sure of several
languages, each clip gets its own among them, and is cut where the language changes.
"""

from collections.abc import Mapping

from whisperbatch.engine.scheduling.language_vote import SURE, SURE_S, LanguageVotes
from whisperbatch.engine.scheduling.request import DecodeRequest, Window
from whisperbatch.records import Clip


class LanguageChoice:
    """Chooses the languages of an engine's clips; owned by the engine's thread."""

    def __init__(self, votes: LanguageVotes, *, per_window: bool) -> None:
        """Share ``votes`` with parallel engines; ``per_window``: each window has its own language, without votes."""
        self._votes, self._per_window = votes, per_window

    def expect(self, clip: Clip) -> None:
        """Register a clip that may vote."""
        if clip.vote is not None and clip.settings.language is None and not self._per_window:
            self._votes.expect(clip.file_id, clip.vote[1])

    def forget(self, file_id: int) -> None:
        """Drop a finished file."""
        self._votes.forget(file_id)

    def withdraw(self, clip: Clip) -> None:
        """Withdraw the vote of a clip that has ended."""
        if clip.vote is not None:
            self._votes.withdraw(clip.file_id, clip.vote[0])

    def is_open(self, file_id: int) -> bool:
        """Return True while the file's clips wait for its vote."""
        return self._votes.is_open(file_id)

    def waits(self, request: DecodeRequest) -> bool:
        """Return True if a clip has nothing to do until its file's vote is decided."""
        is_done = request.clip.vote is None or request.has_voted
        return request.language is None and is_done and self.is_open(request.clip.file_id)

    def record(self, window: Window, probs: Mapping[str, float]) -> None:
        """Record the language probabilities of a window, as a vote in its file or for its clip alone."""
        request, clip = window.request, window.request.clip
        window.language_probs = probs
        if clip.vote is None or not self.is_open(clip.file_id):
            request.take_language(window)
        elif votes := request.votes(window):
            request.has_voted = True
            self._votes.cast(clip.file_id, clip.vote[0], votes)
            self.apply_decision(request)

    def apply_decision(self, request: DecodeRequest) -> None:
        """Give a clip its file's language, if the file has a single one."""
        decision = self._votes.decision(request.clip.file_id)
        if decision is None or decision.others or request.is_multilingual:
            return
        if request.language is None:
            request.language, request.language_probability = decision.language, decision.probability

    def replacement_for(self, window: Window) -> Window | None:
        """Return a window to replace one that was decoded in its file's language but is clearly in another.

        Only a file's first minutes vote, and the language may change later.
        """
        request, decision = window.request, self._votes.decision(window.request.clip.file_id)
        probs = window.language_probs
        if decision is None or decision.others or probs is None or not request.may_change_language(window):
            return None
        code = max(probs, key=lambda code: probs[code])
        if code == request.language or probs[code] < SURE or request.speech_s < SURE_S:
            return None
        window.tried.clear()
        request.language = request.language_probability = None
        return request.window_among(window, (decision.language, code))

    def resolve(self, window: Window) -> Window:
        """Return the window to run for a queued or parked one: itself, or a probe for a change of language."""
        request = window.request
        self.apply_decision(request)
        decision = self._votes.decision(request.clip.file_id)
        if request.language is None and decision is not None and decision.others:
            return request.window_among(window, (decision.language, *decision.others))
        return window
