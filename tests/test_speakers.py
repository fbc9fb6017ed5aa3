"""One contract for every diarizer, the fake one included."""

import numpy as np

from whisperbatch.options import SpeakerOptions
from whisperbatch.records import SAMPLE_RATE
from whisperbatch.speakers.fake import FakeDiarizer

AUTO = SpeakerOptions(enabled=True)


def tone(hz: float, seconds: float) -> np.ndarray:
    """int16 (n_samples,): a sine."""
    at = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (8000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def test_the_fake_hears_a_speaker_an_octave():
    fake = FakeDiarizer()
    fake.add(7, 4.0, tone(900, 2))
    fake.add(7, 0.0, np.concatenate([tone(300, 2), tone(100, 2)]))
    turns = fake.finish(7, AUTO).turns
    assert [(t.start_s, t.end_s, t.speaker) for t in turns] == [(0, 2, 0), (2, 4, 1), (4, 6, 2)]


def test_the_fake_forgets_a_file_with_its_end():
    fake = FakeDiarizer()
    fake.add(1, 0.0, tone(300, 1))
    fake.add(2, 0.0, tone(100, 1))
    fake.forget(2)
    assert len(fake.finish(1, AUTO).turns) == 1
    assert fake.finish(1, AUTO).turns == fake.finish(2, AUTO).turns == ()
