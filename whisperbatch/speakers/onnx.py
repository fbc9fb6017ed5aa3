"""Run both networks from ONNX files by onnxruntime, with the inputs and outputs of those written in torch."""

from pathlib import Path
from typing import Any

import numpy as np

from whisperbatch.errors import ModelError


class OnnxNetwork:
    """A network with one input, of which the first output is used; for any thread."""

    def __init__(self, path: Path, threads: int) -> None:
        """Load it; ModelError when the file is not a readable network."""
        import onnxruntime  # slow to import, so only when it is needed

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads, options.intra_op_num_threads = 1, threads
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as err:
            raise ModelError("is not a readable ONNX file", path) from err
        self._session: Any = session
        self._input, self._output = session.get_inputs()[0], session.get_outputs()[0].name
        self._takes_one = self._input.shape[:1] == [1]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the output for float32 (n_rows, ...), computed row by row if the network takes only one at a time.

        Raises:
            ValueError: The network does not accept this input.
        """
        if self._takes_one and len(rows) > 1:
            return np.concatenate([self(rows[at : at + 1]) for at in range(len(rows))])
        try:
            (made,) = self._session.run([self._output], {self._input.name: rows})
        except Exception as err:
            raise ValueError(str(err)) from err
        return np.asarray(made)

    def of_wave(self, wave: np.ndarray) -> np.ndarray:
        """Return logits (n_frames, n_classes) for float32 (n_samples,)."""
        logits: np.ndarray = self(wave[None, None])[0]
        return logits
