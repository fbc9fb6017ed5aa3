"""How well speakers are found: ``python tests/bench/compare_speakers.py [--half tune|held-out]``.

Conversations of real voices are simulated (``tests/support/conversations.py``; ``tests/support/real_speech.py`` says
where voices and weights are looked for), loaded and cut as a run does it, and diarized on one thread. For each: the
diarization error rate with overlaps counted and 0.25 s around every edge left out, the same without anything left out,
how many speakers were found, and CPU seconds by second of audio, speech detection not counted. Then recordings of one
voice, which have to stay one speaker, and music and noise, which have to have none. One half of the voices is for
tuning; the other has been scored once. Needs ``whisperbatch[bench]``.
"""

import argparse
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from pyannote.core import Annotation, Segment
from pyannote.metrics.diarization import DiarizationErrorRate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import conversations
import real_speech
from whisperbatch.audio import clips
from whisperbatch.audio.passes import TrackPasses
from whisperbatch.options import LoadOptions, SpeakerOptions, SpeechOptions
from whisperbatch.records import SAMPLE_RATE, Clip
from whisperbatch.speakers import Diarization, Diarizer, open_diarizer
from whisperbatch.speakers.stretches import stretches_of

ALONE = {  # recordings of one voice
    "gb0": "en/long/gb0.wav",
    "fleursdumal 15": "fr/fleursdumal/015.mp3",
    "sonnets": "en/sonnets/*.mp3",
    "kerstin": "de/kerstin/*.flac",
    "ljspeech": "en/ljspeech/*.wav",
    "aeneas es": "es/librivox/aeneas_es.mp3",
    "vctk": "en/vctk_clean/*.wav",
}
SEEDS = {"tune": 25, "held-out": 2026}


def clips_of(path: Path) -> Iterator[Clip]:
    """The clips of a file, cut as a load worker does it."""
    options = SpeechOptions()

    def make(channel: int | None) -> clips.Cutter:
        return clips.SpeechCutter(options, channel=channel)

    for index, cut in enumerate(TrackPasses(path, LoadOptions(), make, lambda blocks: blocks).cuts(falls_back=True)):
        yield Clip(
            0,
            index,
            cut.start / SAMPLE_RATE,
            cut.samples,
            speech=tuple((first / SAMPLE_RATE, last / SAMPLE_RATE) for first, last in cut.speech),
            joins=tuple((at / SAMPLE_RATE, skipped / SAMPLE_RATE) for at, skipped in cut.joins),
        )


def found(diarizer: Diarizer, samples: np.ndarray, options: SpeakerOptions) -> tuple[Diarization, float]:
    """The speakers of a recording, and the CPU seconds that they took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "talk.wav")
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        stretches = [one for clip in clips_of(path) for one in stretches_of(clip)]
    began = time.process_time()
    for start_s, stretch in stretches:
        diarizer.add(0, start_s, stretch)
    told = diarizer.finish(0, options)
    return told, time.process_time() - began


def annotation(turns: Iterable[tuple[float, float, object]]) -> Annotation:
    """Turns as the judge takes them."""
    made = Annotation()
    for number, (start, end, who) in enumerate(turns):
        made[Segment(start, end), number] = str(who)
    return made


def score(talks: list[conversations.Conversation], diarizer: Diarizer, on_row: Callable[[str], None]) -> None:
    """A row for each conversation, and their means."""
    near, exact = DiarizationErrorRate(collar=0.5), DiarizationErrorRate(collar=0.0)  # the collar is the total width
    rates, counts, factors = [], [], []
    for talk in talks:
        told, seconds = found(diarizer, talk.samples, SpeakerOptions(enabled=True))
        reference = annotation(talk.turns)
        hypothesis = annotation((turn.start_s, turn.end_s, turn.speaker) for turn in told.turns)
        n_real, n_found = len(reference.labels()), len(hypothesis.labels())
        uem = Segment(0, len(talk.samples) / SAMPLE_RATE)
        detail = near(reference, hypothesis, uem=uem, detailed=True)
        rate, total = detail["diarization error rate"], detail["total"]
        parts = "/".join(f"{detail[key] / total:.1%}" for key in ("missed detection", "false alarm", "confusion"))
        bare, factor = exact(reference, hypothesis, uem=uem), seconds / (len(talk.samples) / SAMPLE_RATE)
        on_row(f"{talk.name:<22} {rate:7.2%} {parts:>16} {bare:7.2%}  {n_found} of {n_real}  {factor:.3f}")
        rates.append(rate), counts.append(n_real == n_found), factors.append(factor)
    on_row(
        f"mean {np.mean(rates):.2%}, worst {max(rates):.2%}; number right {sum(counts)} of {len(counts)}; "
        f"{np.mean(factors):.3f} CPU seconds a second"
    )


def alone(diarizer: Diarizer, on_row: Callable[[str], None]) -> None:
    """A row for each voice alone, and for sounds without a voice."""
    for name, pattern in ALONE.items():
        told, _ = found(diarizer, conversations.voice(pattern), SpeakerOptions(enabled=True))
        on_row(f"alone: {name:<15} {len(told.centres)} speakers")
    silent = [one for one in real_speech.recordings() if one.kind == "nospeech"]
    heard = [one.name for one in silent if found(diarizer, conversations.load(one.path), SpeakerOptions())[0].turns]
    on_row(f"nobody speaks in {len(silent)}; speakers were found in {len(heard)}: {', '.join(heard)}")
    told, _ = found(diarizer, music(), SpeakerOptions(enabled=True))
    on_row(f"chords: {len(told.centres)} speakers")


def music() -> np.ndarray:
    """int16 (n_samples,): half a minute of chords with harmonics."""
    at = np.arange(30 * SAMPLE_RATE) / SAMPLE_RATE
    chords = np.array([[261.6, 329.6, 392.0], [220.0, 261.6, 329.6], [174.6, 220.0, 261.6], [196.0, 246.9, 293.7]])
    notes = chords[(at // 2).astype(int) % 4]
    tones = sum(np.sin(2 * np.pi * k * notes[:, n] * at) / k for k in (1, 2, 3, 4) for n in range(3))
    return (tones * np.exp(-(at % 2)) * 4000).astype(np.int16)


def main() -> None:
    """Score what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=SEEDS, default="tune")
    parser.add_argument("--model", default=str(real_speech.weights() / "speakers"))
    parser.add_argument("--only-talks", action="store_true", help="leave out single voices, music and noise")
    asked = parser.parse_args()
    voices = conversations.TUNE if asked.half == "tune" else conversations.HELD_OUT
    talks = conversations.conversations(voices, asked.half[0], SEEDS[asked.half])
    diarizer = open_diarizer(SpeakerOptions(enabled=True, model=asked.model), offline=True)
    print("conversation (speakers)  DER 0.25  miss/false/wrong  DER 0  found   RTF")
    score(talks, diarizer, lambda row: print(row, flush=True))
    if not asked.only_talks:
        alone(diarizer, lambda row: print(row, flush=True))


if __name__ == "__main__":
    main()
