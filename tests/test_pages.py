"""README, the pages under .github and help: they name what there is, and agree in their figures."""

import json
import re
import shutil
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from whisperbatch import events, report
from whisperbatch.cli import main
from whisperbatch.cli.params import names
from whisperbatch.engine.model.model_names import OPENAI_NAMES
from whisperbatch.engine.model.random_models import SHAPES, ModelShape
from whisperbatch.records import Outcome, Status, Transcript

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / ".github"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "README.md", *FOLDER.glob("*.md"))}
BASE_SPEED = 9.6 * 60 / 16.7  # of the two long recordings, measured
N_BEAMS, N_TOKENS, N_AUDIO = 5, 100, 1500


def place_of(name: str) -> Path:
    return REPOSITORY if name == "README.md" else FOLDER


def topic(name: str) -> str:
    return import_module(f"whisperbatch.cli.topics.{name}").__doc__ or ""


def table(text: str, start: str) -> list[list[str]]:
    """The cells of the table whose first line begins so, without its head."""
    lines = text[text.index(start) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def n_parameters(shape: ModelShape) -> tuple[int, int]:
    """Of encoder and decoder, as openai-whisper's model has them; biases and norms are left out."""
    d = shape.d_model
    encoder = 12 * d * d * shape.n_encoder_layers + 3 * d * (shape.n_mels + d) + N_AUDIO * d
    return encoder, 16 * d * d * shape.n_decoder_layers + (shape.n_vocab + 448) * d


def work(shape: ModelShape, n_beams: int) -> float:
    """Multiplications and additions of a window: an encoder pass, and as many decoder steps as it has tokens."""
    encoder, decoder = n_parameters(shape)
    d, layers = shape.d_model, shape.n_decoder_layers
    heard = 4 * N_AUDIO**2 * d * shape.n_encoder_layers + 4 * N_AUDIO * d * d * layers
    return 2 * encoder * N_AUDIO + heard + n_beams * N_TOKENS * (2 * decoder + 4 * N_AUDIO * d * layers)


@pytest.mark.parametrize("name", PAGES)
def test_links_and_paths_lead_somewhere(name: str):
    text = PAGES[name]
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (place_of(name) / target).exists(), target
    for path in re.findall(r"`((?:tests|whisperbatch|findings|sample_audio|\.github|\.ci)/[\w/.*-]+)`", text):
        assert re.search("NAME|GROUP", path) or list(REPOSITORY.glob(path)), path
    for path in re.findall(r"`((?:pipeline|engine|audio|batcher|backends|writers|cli|params)/\w+\.py)`", text):
        assert list((REPOSITORY / "whisperbatch").glob(f"**/{path}")), path
    for path in re.findall(r"`(test_\w+\.py)`", text):
        assert list((REPOSITORY / "tests").glob(f"**/{path}")), path


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md", "BENCHMARKS.md", "SECURITY.md"])
def test_options_that_pages_name_exist(name: str):
    ours = set(names()) | set(filter(None, names().values()))
    others = {"--version", "--isa", "--work", "--install"}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", PAGES[name])) <= ours | others


def test_modules_and_constants_that_the_contributors_page_names_exist():
    text = PAGES["CONTRIBUTING.md"]
    for module, name in {
        "whisperbatch.writers": "FORMATS",
        "whisperbatch.options": "SHAPED",
        "whisperbatch.options.output": "ALL_FORMATS",
        "whisperbatch.cli.params": "RUN",
        "whisperbatch.cli.help_page": "COMMON",
        "whisperbatch.cli.topics.models": "OPTIONS",
        "whisperbatch.pipeline.text_settings": "FIELDS_WITHOUT",
        "whisperbatch.engine": "Engine",
    }.items():
        assert f"`{name}`" in text
        assert hasattr(import_module(module), name), (module, name)


def test_the_sizes_of_downloads_are_those_of_the_weights():
    rows = table(PAGES["README.md"], "| `--model` | download")
    assert len(rows) == 6
    for cells in rows:
        (name,) = re.findall(r"`([\w.-]+)`", cells[0])
        assert name in OPENAI_NAMES
        n_bytes = 2 if name in ("turbo", "large-v3") else 4  # as OpenAI published them: float16, or float32
        gigabytes = sum(n_parameters(SHAPES[name.removesuffix(".en")])) * n_bytes / 1e9
        assert float(cells[1].removesuffix(" GB")) == pytest.approx(gigabytes, rel=0.025), name


def test_computed_hours_are_what_the_calculation_gives():
    rows = table(PAGES["BENCHMARKS.md"], "| | work of a window")
    assert [cells[0].split()[0] for cells in rows] == ["base", "small", "medium", "turbo", "large-v3"]
    hours_of = {}
    for name, ratio, speed, hours in rows:
        shape = SHAPES[name.split()[0]]
        times = work(shape, N_BEAMS) / work(SHAPES["base"], N_BEAMS)
        assert float(ratio) == pytest.approx(times, rel=0.03), name
        assert float(speed) == pytest.approx(BASE_SPEED / times, rel=0.03), name
        number, unit = hours.split()
        spent = float(number) * (24 if unit == "days" else 1)
        assert spent == pytest.approx(100 * times / BASE_SPEED, rel=0.1), name
        hours_of[name.split()[0]] = hours
    for cells in table(PAGES["README.md"], "| `--model` | download"):
        (name,) = re.findall(r"`([\w.-]+)`", cells[0])
        if name in hours_of:
            assert cells[4].removesuffix(" (computed)") == hours_of[name]
    greedy = work(SHAPES["small"], 1) / work(SHAPES["tiny"], 1)
    assert f"small comes out at {greedy:.1f} times tiny" in PAGES["BENCHMARKS.md"]


def test_figures_of_readme_are_among_the_benchmarks():
    text = PAGES["BENCHMARKS.md"]
    for row in ("English", "German", "all 14 languages"):
        (cells,) = (one for one in table(text, "| | minutes | whisperbatch") if one[0] == row)
        (short,) = re.findall(rf"words wrong, {row} \|(.*)\|", PAGES["README.md"])
        assert [cell.strip().removesuffix(" %") for cell in short.split("|")] == cells[2:]
    speeds = {cells[0]: cells for cells in table(text, "| | large-v3 | turbo |")}
    for name, column in (("large-v3", 1), ("turbo", 2)):
        (row,) = (cells for cells in table(PAGES["README.md"], "| `--model` |") if f"`{name}`" in cells[0])
        assert row[5].removesuffix("x") == speeds["whole runs over 12-minute mp3 files, with speech detection"][column]


def test_help_names_every_key_of_the_report(tmp_path: Path):
    page = topic("report")
    path = tmp_path / "report.json"
    file = report.ReportFile(path)
    transcript = Transcript("en", (), 1.0)
    file.add(Outcome(tmp_path / "a.wav", Status.DONE, transcript=transcript, moved_to=tmp_path / "b.wav"))
    file.close(report.Report(), 0)
    written: dict[str, Any] = json.loads(path.read_text())
    keys = {*written, *written["files"][0], *written["totals"]}
    assert keys - set(re.findall(r"\w+", page)) == set()
    assert f"schema       {report.SCHEMA}" in page


def test_help_names_every_event_of_a_run_and_its_keys(tmp_path: Path, sample_audio: Path):
    shutil.copy(sample_audio / "garden.wav", tmp_path)
    log = tmp_path / "events.jsonl"
    options = ["--model", "demo", "--events", str(log), "--quiet", "--no-journal"]
    assert main(["transcribe", str(tmp_path / "garden.wav"), *options]) == 0
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    words = set(re.findall(r"\w+", topic("report")))
    assert {"queued", "started", "loaded", "batch", "segment", "done"} <= {line["event"] for line in lines} <= words
    assert {key for line in lines for key in line} - words == set()
    assert {line["v"] for line in lines} == {events.VERSION}
    assert f"v ({events.VERSION})" in topic("report")


def test_the_settings_in_help_are_settings():
    known = {name.lstrip("-") for name in names()}
    lines = [line.strip() for line in topic("settings").splitlines() if line.startswith("    ")]
    assert set(tomllib.loads("\n".join(lines))) <= known
    assert len(lines) >= 5


def test_what_the_hub_of_the_repository_reads_can_be_read():
    for path in (
        *FOLDER.glob("ISSUE_TEMPLATE/*.yml"),
        *FOLDER.glob("workflows/*.yml"),
        REPOSITORY / ".pre-commit-config.yaml",
    ):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), path
    for path in FOLDER.glob("ISSUE_TEMPLATE/*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= set(form), path
            ids = [one["id"] for one in form["body"] if one["type"] != "markdown"]
            assert len(ids) == len(set(ids)) > 0
    workflow = yaml.safe_load((FOLDER / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert set(workflow["jobs"]) == {"linux", "others", "image"}


def test_pre_commit_runs_what_ci_runs():
    text = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    entries = " ".join(hook["entry"] for hook in hooks)
    for command in re.findall(r"bin/(ruff \w+)", text):
        assert command in entries
