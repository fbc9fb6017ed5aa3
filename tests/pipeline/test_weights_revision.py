"""The revision that is told without torch is the one that the engine tells."""

from pathlib import Path

from whisperbatch.engine.model import checkpoint
from whisperbatch.options import EngineOptions
from whisperbatch.pipeline import weights_revision


def test_a_folders_digest_is_the_engines(demo_folder: Path):
    for options in (EngineOptions("demo"), EngineOptions(str(demo_folder))):
        found = checkpoint.find(options, demo_folder, lambda text: None)
        assert weights_revision.revision_of(options, demo_folder) == found.revision


def test_a_models_commit_in_the_cache_is_found_as_the_engine_finds_it(tmp_path: Path):
    commit, place = "0" * 40, tmp_path / "models--openai--whisper-large-v3-turbo"
    snapshot = place / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"")
    (snapshot / "config.json").write_text("{}")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    options = EngineOptions("turbo", model_dir=tmp_path, offline=True)
    assert weights_revision.revision_of(options, tmp_path) == commit
    assert checkpoint.find(options, tmp_path, lambda text: None).revision == commit
    assert weights_revision.revision_of(EngineOptions("tiny", model_dir=tmp_path), tmp_path) is None
