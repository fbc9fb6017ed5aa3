"""Hold programs to the instructions of an older processor: an environment for their processes.

The libraries have variables of their own for that; LLVM and torch's list of what the processor has need a module that
Python loads at its start (``sitecustomize``).
"""

from pathlib import Path

WORDS = ("ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY", "CT2_FORCE_CPU_ISA")
AVX2 = ("avx", "avx2", "fma", "f16c", "bmi", "bmi2", "sse4.2")
AVX512 = (*AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
KINDS = {  # LLVM's name and features, what torch lists, and the libraries' own words
    "avx2": ("haswell", AVX2, ("avx2",), ("AVX2", "AVX2", "avx2", "AVX2")),
    "vnni": (
        "cascadelake",
        (*AVX512, "avx512vnni"),
        ("avx2", "avx512_f", "avx512_vnni"),
        ("AVX512_CORE_VNNI", "AVX512_E1", "avx512", "AVX512"),
    ),
}
MODULE = """
import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec

NAME, FEATURES, LISTED = {values!r}


def limit_llvm(module):
    module.get_host_cpu_name = lambda: NAME
    module.get_host_cpu_features = lambda: module.FeatureMap(dict.fromkeys(FEATURES, True))


def limit_torch(module):
    module.get_capabilities = lambda: dict.fromkeys(LISTED, True)


class Limit(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        limit = {{"llvmlite.binding": limit_llvm, "torch.cpu": limit_torch}}.get(name)
        if limit is None:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        sys.meta_path.insert(0, self)
        run = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (run(module), limit(module))
        return spec


sys.meta_path.insert(0, Limit())
"""


def environment(kind: str, folder: Path) -> dict[str, str]:
    """The variables for processes held to a kind of processor; their module is written to ``folder``."""
    name, features, listed, words = KINDS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(MODULE.format(values=(name, features, listed)))
    return dict(zip(WORDS, words, strict=True)) | {"PYTHONPATH": str(folder)}
