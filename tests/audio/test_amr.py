"""Telephone speech with pauses that were not sent: what the packets are, and that pauses keep their time."""

from pathlib import Path

import av
import numpy as np
import pytest

from whisperbatch.audio import amr
from whisperbatch.audio.decode import Reader

RATE = 16_000
NB, WB = amr.KINDS["amrnb"], amr.KINDS["amrwb"]
MAGIC = {"amrnb": b"#!AMR\n", "amrwb": b"#!AMR-WB\n"}
SPEECH_TYPE = {"amrnb": 7, "amrwb": 8}
SID = {"amrnb": 8, "amrwb": 9}


def frame(codec: str, frame_type: int, seed: int = 0, *, is_good: bool = True) -> bytes:
    """A frame of random bits: noise, where it is speech."""
    n_bytes = amr.KINDS[codec].n_bytes[frame_type] or 1
    return bytes([frame_type << 3 | is_good << 2]) + np.random.default_rng(seed).bytes(n_bytes - 1)


def speech(codec: str, n_frames: int) -> list[bytes]:
    return [frame(codec, SPEECH_TYPE[codec], seed) for seed in range(n_frames)]


def pause(codec: str, n_frames: int) -> list[bytes]:
    """A silence descriptor in eight frames, as phones send them."""
    return [frame(codec, 15 if index % 8 else SID[codec], index) for index in range(n_frames)]


def write(path: Path, codec: str, frames: list[bytes]) -> Path:
    path.write_bytes(MAGIC[codec] + b"".join(frames))
    return path


def in_container(path: Path, raw: Path, n_joined: int = 1) -> Path:
    """The frames of a raw file in a container with time stamps, so many a packet."""
    with av.open(str(raw)) as container, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(container.streams.audio[0])
        rate = stream.codec_context.sample_rate
        frames = [bytes(packet) for packet in container.demux() if packet.size]
        for index in range(0, len(frames), n_joined):
            packet = av.Packet(b"".join(frames[index : index + n_joined]))
            packet.pts = packet.dts = index * rate // 50
            packet.duration = rate // 50 * len(frames[index : index + n_joined])
            packet.time_base, packet.stream = stream.time_base or 1, stream
            out.mux(packet)
    return path


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (NB, frame("amrnb", 8), True),
        (NB, frame("amrnb", 9), True),
        (NB, frame("amrnb", 15), True),
        (NB, frame("amrnb", 15, is_good=False), True),
        (NB, frame("amrnb", 8, is_good=False), False),
        (NB, frame("amrnb", 8)[:-1], False),
        (NB, frame("amrnb", 7), False),
        (NB, frame("amrnb", 14), False),
        (NB, b"\xff", False),
        (WB, frame("amrwb", 9), True),
        (WB, frame("amrwb", 15), True),
        (WB, frame("amrwb", 14), False),
        (WB, frame("amrwb", 8), False),
    ],
)
def test_a_pause_is_known_by_its_type_and_size(kind: amr.Kind, data: bytes, expected: bool):
    assert amr.is_pause(kind, data) is expected


def test_a_packet_of_several_frames_is_taken_apart():
    parts = [*speech("amrnb", 2), *pause("amrnb", 9), b"\x3c\x00"]
    assert list(amr.frames(NB, b"".join(parts))) == parts
    assert list(amr.frames(NB, b"")) == []


@pytest.mark.parametrize("codec", ["amrnb", "amrwb"])
@pytest.mark.parametrize("name", ["x.amr", "x.3gp"])
def test_a_pause_keeps_its_time_and_is_no_damage(tmp_path: Path, codec: str, name: str):
    path = write(
        tmp_path / "x.amr", codec, [*pause(codec, 20), *speech(codec, 50), *pause(codec, 100), *speech(codec, 30)]
    )
    if name == "x.3gp":
        path = in_container(tmp_path / name, path)
    reader = Reader(path)
    samples = np.concatenate(list(reader.blocks()))
    assert len(samples) == pytest.approx(200 * 0.02 * RATE, abs=5)
    assert (reader.damage, reader.notices) == (None, [])
    loud = np.abs(samples.reshape(-1, 320)[:200].astype(int)).max(axis=1) > 300
    assert not loud[:19].any()
    assert loud[21:70].mean() > 0.8
    assert not loud[73:169].any()
    assert loud[171:].mean() > 0.8


def test_a_recording_of_nothing_but_a_pause_is_silence(tmp_path: Path):
    reader = Reader(write(tmp_path / "x.amr", "amrnb", pause("amrnb", 50)))
    assert not np.concatenate(list(reader.blocks())).any()
    assert (reader.n_samples, reader.damage) == (RATE, None)


def test_frames_that_cannot_be_decoded_stay_damage(tmp_path: Path):
    frames = [*speech("amrnb", 20), *[frame("amrnb", 8, is_good=False)] * 3, *pause("amrnb", 7), *speech("amrnb", 20)]
    reader = Reader(write(tmp_path / "x.amr", "amrnb", frames))
    assert sum(map(len, reader.blocks())) == pytest.approx(50 * 0.02 * RATE, abs=5)
    assert reader.damage == "damaged: 3 parts could not be decoded"


def test_pauses_within_packets_of_several_frames_keep_their_time(tmp_path: Path):
    frames = [*speech("amrnb", 25), *pause("amrnb", 50), *speech("amrnb", 25)]
    raw = write(tmp_path / "x.amr", "amrnb", frames)
    for n_joined in (1, 10):
        reader = Reader(in_container(tmp_path / "x.nut", raw, n_joined))
        assert sum(map(len, reader.blocks())) == pytest.approx(2 * RATE, abs=5)
        assert reader.damage is None
