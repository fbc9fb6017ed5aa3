"""Fixtures that the tests of several packages share."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as open_engine sets it; tests import torch before that

from whisperbatch import demo

# a machine may stand still for a moment, so no example has a deadline
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)  # the same examples for everybody
hypothesis.settings.register_profile("full", deadline=None)
hypothesis.settings.load_profile("full" if os.environ.get("WHISPERBATCH_FULL") else "repeatable")

REPOSITORY = Path(__file__).resolve().parent.parent
pytest.register_assert_rewrite(*(path.stem for path in (REPOSITORY / "tests" / "support").glob("*.py")))


@pytest.fixture(scope="session", autouse=True)
def _journal_and_cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the journal or the cache of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _own_journal(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test knows nothing of recordings that another one has transcribed, which may be the same bytes."""
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    return demo.FOLDER


@pytest.fixture(scope="session")
def sample_audio() -> Path:
    return REPOSITORY / "sample_audio"


@pytest.fixture(scope="session")
def references(sample_audio: Path) -> dict[str, tuple[str, str]]:
    """(language, text) by file name, as sample_audio/references.tsv gives them."""
    lines = (sample_audio / "references.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return {name: (language, text) for name, language, text in rows}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on real weights say in one sentence why they cannot run here."""
    import real_speech

    marked = [item for item in items if item.get_closest_marker("real")]
    if marked and (reason := real_speech.missing()) is not None:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))
