"""In which language a window is decoded. Policy only: no torch.

Comes in: windows, and the languages that the model guesses. Goes out: the windows that may run. A clip without a given
language takes its file's, for which the file's voters vote. Where voters are sure of several languages, each clip finds
its own among them, and is cut where the language changes.
"""

from collections.abc import Mapping

from whisperbatch.engine.scheduling.language_vote import SURE, SURE_S, LanguageVotes
from whisperbatch.engine.scheduling.request import DecodeRequest, Window
from whisperbatch.records import Clip


class LanguageChoice:
    """The languages of an engine's clips; owned by the engine's thread."""

    def __init__(self, votes: LanguageVotes, *, each_by_itself: bool) -> None:
        """Share ``language_vote`` with the engines beside; ``each_by_itself``: nobody votes."""
        self._votes, self._each_by_itself = votes, each_by_itself

    def expect(self, clip: Clip) -> None:
        """Take in a clip that may vote."""
        if clip.vote is not None and clip.settings.language is None and not self._each_by_itself:
            self._votes.expect(clip.file_id, clip.vote[1])

    def forget(self, file_id: int) -> None:
        """The file is done with."""
        self._votes.forget(file_id)

    def bury(self, clip: Clip) -> None:
        """A clip that has ended votes no more."""
        if clip.vote is not None:
            self._votes.die(clip.file_id, clip.vote[0])

    def is_open(self, file_id: int) -> bool:
        """Whether the file's clips wait for its vote."""
        return self._votes.holds(file_id)

    def waits(self, request: DecodeRequest) -> bool:
        """Whether a clip has nothing to do before its file's vote is decided."""
        is_done = request.clip.vote is None or request.has_voted
        return request.language is None and is_done and self.is_open(request.clip.file_id)

    def hear(self, window: Window, chances: Mapping[str, float]) -> None:
        """Take in the probability of each language in a window: as its file's vote, or for its clip alone."""
        request, clip = window.request, window.request.clip
        window.language_probs = chances
        if clip.vote is None or not self.is_open(clip.file_id):
            request.take_chances(window)
        elif votes := request.votes(window):
            request.has_voted = True
            self._votes.cast(clip.file_id, clip.vote[0], votes)
            self.settle(request)

    def settle(self, request: DecodeRequest) -> None:
        """Give a clip its file's language, if there is one of all clips."""
        decision = self._votes.decision(request.clip.file_id)
        if decision is None or decision.others or request.is_multilingual:
            return
        if request.language is None:
            request.language, request.language_probability = decision.language, decision.probability

    def instead_of(self, window: Window) -> Window | None:
        """What runs in place of a window that was decoded in its file's language and is surely in another.

        Only a file's first minutes vote, and the language may change later.
        """
        request, decision = window.request, self._votes.decision(window.request.clip.file_id)
        chances = window.language_probs
        if decision is None or decision.others or chances is None or not request.is_opened_by(window):
            return None
        code = max(chances, key=lambda code: chances[code])
        if code == request.language or chances[code] < SURE or request.speech_s < SURE_S:
            return None
        window.tried.clear()
        request.language = request.language_probability = None
        return request.among(window, (decision.language, code))

    def window_for(self, window: Window) -> Window:
        """What runs for a window that comes up or has waited: itself, or one that looks for a change of language."""
        request = window.request
        self.settle(request)
        decision = self._votes.decision(request.clip.file_id)
        if request.language is None and decision is not None and decision.others:
            return request.among(window, (decision.language, *decision.others))
        return window
