"""The architecture, checked on the source: what may import what, where heavy libraries live, how long code is."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "whisperbatch"

LAYERS = (
    ("errors", "replacement_rules", "records", "languages", "files", "processes", "hub_errors"),
    ("options",),
    (
        *("sources", "audio", "batcher", "engine", "transcripts", "writers", "journal", "report", "events"),
        *("review", "demo", "hooks", "replacements", "search", "speakers"),
    ),
    ("outputs",),
    ("pipeline",),
    ("backends",),
    ("bench", "api"),
    ("cli",),
    ("__init__", "__main__"),
)
LAYER = {name: height for height, names in enumerate(LAYERS) for name in names}
LOWEST_IMPORTS = {
    ("records", "errors"),
    ("records", "replacement_rules"),
    ("languages", "errors"),
    ("files", "errors"),
}  # within the lowest layer

HOMES = {
    # speakers has two networks of its own beside Whisper; engine/scheduling is policy on plain values
    "torch": (
        "engine/placement.py",
        "engine/model/",
        "engine/device/",
        "engine/kernels/",
        "demo/training/",
        "speakers/",
    ),
    "transformers": ("engine/model/", "demo/training/"),
    "huggingface_hub": ("engine/model/", "speakers/weights.py"),
    "safetensors": ("engine/model/", "demo/training/", "speakers/build.py"),
    "tokenizers": ("engine/model/", "demo/training/"),
    "whisper": ("demo/training/",),
    "faster_whisper": ("demo/training/",),
    "ctranslate2": ("demo/training/",),
    "jiwer": ("demo/training/",),
    "soxr": ("demo/training/",),
    "librosa": ("audio/decode.py", "engine/model/log_mel.py", "demo/training/"),
    "soundfile": ("audio/decode.py",),
    "onnxruntime": ("audio/vad.py", "speakers/onnx.py"),
    "silero_vad": (),
    "regex": ("options/replacements.py", "replacements.py"),
    "av": (
        "audio/frames.py",
        "audio/durations.py",
        "audio/decode.py",
        "audio/mixdown.py",
        "cli/commands/info.py",
        "demo/training/samples.py",
    ),
    "ray": ("backends/ray_workers.py",),
    "matplotlib": ("bench/plot.py",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "tqdm": ("cli/",),
    "watchfiles": ("sources/change_events.py",),
    "pysubs2": ("writers/importing.py",),
    "click": (),
    "TYPE_CHECKING": (),
}
BROAD_EXCEPT = {
    "audio/worker.py": "item boundary of the load process",
    "batcher/calls.py": "item boundary of a batched function",
    "engine/scheduling/continuous_batching.py": "item boundary of a clip",
    "pipeline/file_flow.py": "item boundary of loading and writing",
    "pipeline/run.py": "top of a thread",
    "backends/worker_pool.py": "top of a thread",
    "backends/worker.py": "top of a thread",
    "cli/app.py": "CLI main",
    "speakers/onnx.py": "onnxruntime's errors have no other class in common",
}
TOP_LEVEL = {
    *("pyproject.toml", "whisperbatch", "tests", "findings", "sample_audio"),
    *("README.md", "CHANGELOG.md", "LICENSE"),
}
MAX_FILE, MAX_BODY = 400, 60


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, module or module.name) of every import, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            yield from ((node.lineno, arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))
        elif isinstance(node, ast.Attribute) and node.attr == "TYPE_CHECKING":
            yield node.lineno, "typing.TYPE_CHECKING"


def package_of(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def faults(package: Path) -> list[str]:
    """Every breach of the rules in a source tree, with its file and line."""
    found: list[str] = []
    for file in sorted(package.rglob("*.py")):
        path = file.relative_to(package).as_posix()
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
        found += [f"{path}:{line}: {what}" for line, what in _faults_of(path, text, tree)]
    return found


def _faults_of(path: str, text: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    n_lines = len(text.splitlines())
    if n_lines > MAX_FILE:
        yield n_lines, f"file has more than {MAX_FILE} lines"
    if text.strip() and ast.get_docstring(tree) is None:
        yield 1, "no docstring"
    for line, name in imports(tree):
        yield from ((line, what) for what in _import_faults(path, name))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_body = (node.end_lineno or 0) - node.body[0].lineno + 1
            if n_body > MAX_BODY:
                yield node.lineno, f"body of {node.name} has more than {MAX_BODY} lines"
        if path not in BROAD_EXCEPT and _catches_all(node):
            yield node.lineno, "broad except"
        if isinstance(node, ast.Attribute) and node.attr == "sleep":
            yield node.lineno, "time.sleep"


def _catches_all(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        return _is_broad(node.type)
    is_suppress = isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "suppress"
    return is_suppress and any(_is_broad(kind) for kind in node.args)


def _is_broad(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(_is_broad(one) for one in kind.elts)
    return kind is None or ast.unparse(kind).removeprefix("builtins.") in ("Exception", "BaseException")


def _import_faults(path: str, name: str) -> Iterator[str]:
    parts = name.split(".")
    if name.startswith("."):
        yield "relative import"
    if name == "time.sleep":
        yield name
    if name == "whisperbatch" and package_of(path) not in ("__init__", "__main__"):
        yield "imports the whole package, through which every part is in reach"
    for library, homes in HOMES.items():
        if (parts[0] == library or parts[-1] == library == "TYPE_CHECKING") and not any(
            path == home or (home.endswith("/") and path.startswith(home)) for home in homes
        ):
            yield f"imports {library} outside its home"
    if parts[0] != "whisperbatch" or len(parts) < 2:
        return
    here, there = package_of(path), parts[1] if parts[1] in LAYER else "__init__"
    if there == "__init__" and parts[1] != "__version__" and here not in ("__init__", "__main__"):
        yield f"imports {name}, which is not a package"
    if here == there or parts[1] == "__version__" or (here, there) in LOWEST_IMPORTS:
        return
    if LAYER[there] >= LAYER[here]:
        yield f"{here} imports {there}, which is not below it"


def test_the_architecture_page_lists_the_same_layers():
    text = (REPOSITORY / ".github" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = text[text.index("| layer | packages |") :].split("\n\n")[0].splitlines()[2:]
    assert [set(re.findall(r"`(\w+)`", row.split("|")[2])) for row in rows] == [set(layer) for layer in LAYERS[:-1]]


def test_the_source_keeps_the_rules():
    assert faults(PACKAGE) == []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("audio/x.py", "from whisperbatch.engine import fake", "audio imports engine"),
        ("audio/x.py", "def f():\n    from whisperbatch import pipeline", "audio imports pipeline"),
        ("records.py", "from whisperbatch.options import RunOptions", "records imports options"),
        ("audio/x.py", "import torch", "imports torch outside"),
        ("engine/scheduling/x.py", "import torch", "imports torch outside"),
        ("pipeline/x.py", "from transformers import pipeline", "imports transformers outside"),
        ("cli/x.py", "import click", "imports click outside"),
        ("sources/x.py", "from typing import TYPE_CHECKING", "imports TYPE_CHECKING outside"),
        ("sources/x.py", "try:\n    pass\nexcept Exception:\n    pass", "broad except"),
        ("sources/x.py", "import time\ntime.sleep(1)", "time.sleep"),
        ("sources/x.py", "from time import sleep", "time.sleep"),
        ("sources/x.py", "import time as t\nt.sleep(1)", "time.sleep"),
        ("sources/x.py", "try:\n    pass\nexcept (OSError, Exception):\n    pass", "broad except"),
        ("sources/x.py", "try:\n    pass\nexcept:\n    pass", "broad except"),
        ("sources/x.py", "import contextlib\nwith contextlib.suppress(BaseException):\n    pass", "broad except"),
        ("sources/x.py", "import typing\nx = typing.TYPE_CHECKING", "imports TYPE_CHECKING outside"),
        ("sources/x.py", "from .media import found", "relative import"),
        ("audio/x.py", "import whisperbatch", "the whole package"),
        ("audio/x.py", "from importlib import import_module\nimport_module('torch')", "imports torch outside"),
        ("audio/x.py", "import importlib\nimportlib.import_module('whisperbatch.cli')", "audio imports cli"),
        ("pipeline/x.py", "import librosa.filters", "imports librosa outside"),
        ("engine/x.py", "import watchfiles", "imports watchfiles outside"),
        ("sources/x.py", "import av", "imports av outside"),
        ("api.py", "import rich", "imports rich outside"),
        ("engine/x.py", "import whisper", "imports whisper outside"),
        ("backends/local.py", "import ray", "imports ray outside"),
        ("backends/x.py", "from whisperbatch.api import Transcriber", "backends imports api"),
        ("sources/x.py", "x = 1\n" * 401, "more than 400 lines"),
        ("sources/x.py", "def f():\n" + "    x = 1\n" * 61, "more than 60 lines"),
    ],
)
def test_each_rule_fires(tmp_path: Path, path: str, source: str, fault: str):
    (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / path).write_text('"""Doc."""\n' + source)
    found = faults(tmp_path)
    assert any(fault in one for one in found), found
    assert all(one.startswith(f"{path}:") and one.split(":")[1].isdigit() for one in found)


def test_what_is_allowed_is_not_reported(tmp_path: Path):
    allowed = {
        "audio/x.py": "import subprocess\nfrom whisperbatch.records import Clip\nfrom whisperbatch.audio import y",
        "audio/decode.py": "import av\nimport librosa",
        "engine/model/x.py": "import torch\nfrom transformers import AutoModel",
        "batcher/calls.py": "try:\n    pass\nexcept Exception:\n    pass",
        "cli/x.py": "from whisperbatch import __version__, api\nimport typer",
    }
    for path, source in allowed.items():
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_text('"""Doc."""\n' + source + "\n")
    assert faults(tmp_path) == []


def test_a_module_without_docstring_is_reported(tmp_path: Path):
    (tmp_path / "errors.py").write_text("x = 1\n")
    assert faults(tmp_path) == ["errors.py:1: no docstring"]


def unnamed(package: Path) -> list[str]:
    """Modules and packages that the docstring of the package around them does not name."""
    found = []
    for init in sorted(package.rglob("__init__.py")):
        words = set(re.findall(r"\w+", ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""))
        parts = {
            part.stem for part in init.parent.iterdir() if part.suffix == ".py" or (part / "__init__.py").is_file()
        }
        missing = parts - {"__init__", "__main__"} - words
        found += [(init.parent / part).relative_to(package).as_posix() for part in sorted(missing)]
    return found


def test_package_docstrings_name_every_module():
    assert unnamed(PACKAGE) == []


def test_a_module_that_no_docstring_names_is_reported(tmp_path: Path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "__init__.py").write_text('"""audio: files to clips."""')
    (tmp_path / "audio" / "__init__.py").write_text('"""Leaves: vad (speech)."""')
    for name in ("vad", "wav"):
        (tmp_path / "audio" / f"{name}.py").touch()
    assert unnamed(tmp_path) == ["audio/wav"]


def test_every_allowance_is_used():
    sources = {path: (PACKAGE / path).read_text(encoding="utf-8") for path in BROAD_EXCEPT}
    unused = [path for path, text in sources.items() if not any(_is_broad(h.type) for h in _handlers(text))]
    assert unused == []


def _handlers(text: str) -> list[ast.ExceptHandler]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ExceptHandler)]


def test_the_top_level_holds_what_the_card_allows():
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    names = {line.split("/")[0].strip('"') for line in listed.stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} - TOP_LEVEL == set()


def test_the_package_imports_nothing_heavy():
    code = (
        "import sys, whisperbatch; from whisperbatch import batched;"
        "heavy = {'torch', 'librosa', 'transformers', 'av', 'numpy', 'typer', 'rich'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", [[], ["--help"], ["transcribe", "--help"], ["--version"], ["help"], ["help", "models"]]
)
def test_help_imports_nothing_heavy(command: list[str]):
    code = (
        "import sys; from whisperbatch.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'librosa', 'transformers', 'av', 'numba', 'numpy', 'scipy'} & set(sys.modules);"
        "sys.exit(code if not heavy else f'imported {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "whisperbatch" in done.stdout
