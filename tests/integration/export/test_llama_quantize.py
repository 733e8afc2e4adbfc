"""Types that llama-quantize makes: called as llama.cpp's program is, and what it writes is checked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gguf import GGUFReader

from core.chat.subject import Subject
from core.errors import MissingError, TunedeckError
from core.export.gguf import export_gguf
from core.export.llama_quantize import predicted_bytes
from tests.integration.export.test_gguf import saved

# Takes llama-quantize's arguments (input, output, type) and really quantises, by the gguf library.
STAND_IN = """#!{python}
import sys
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, GGUFValueType, dequantize, quantize
source, target, kind = sys.argv[1:]
if kind == "Q5_K_M":
    sys.exit("main: failed to quantize model: no such thing here")
reader = GGUFReader(source)
arch = reader.fields["general.architecture"].contents()
writer = GGUFWriter(target, arch)
for name, field in reader.fields.items():
    if name.startswith("GGUF.") or name == "general.architecture":
        continue
    main, sub = field.types[0], field.types[-1] if len(field.types) > 1 else None
    writer.add_key_value(name, field.contents(), main, sub_type=sub)
tensors = reader.tensors[:-1] if kind == "Q5_0" else reader.tensors
for tensor in tensors:
    values = dequantize(tensor.data, tensor.tensor_type)
    matrix = values.ndim > 1 and values.shape[-1] % 32 == 0
    to = GGMLQuantizationType[kind] if matrix and kind != "Q5_0" else tensor.tensor_type
    writer.add_tensor(tensor.name, quantize(values, to) if matrix else values.astype("float32"), raw_dtype=to if matrix else None)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    file = folder / "llama-quantize"
    file.write_text(STAND_IN.format(python=sys.executable))
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return file


def test_a_smaller_type_is_made_and_read_back(program: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = saved("llama", tiny_model, tmp_path / "model")
    said: list[str] = []
    done = export_gguf(
        Subject("tiny", folder, dtype="float32"), tmp_path / "out.gguf", out_type="Q4_0", progress=said.append
    )
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(done.file).tensors}
    assert kinds["blk.0.attn_q.weight"] == "Q4_0" and kinds["blk.0.attn_norm.weight"] == "F32"
    assert said[0].startswith("about ") and "llama-quantize makes Q4_0" in said
    weights = sum(int(tensor.n_bytes) for tensor in GGUFReader(done.file).tensors)
    assert done.predicted_bytes == pytest.approx(weights, rel=0.02)
    assert done.checks[0].same_choice >= 0.2 and done.checks[0].max_difference > 0.01
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "model", "out.gguf"]


@pytest.mark.parametrize(
    ("out_type", "what"),
    [
        ("q5_k_m", "llama-quantize ended with 1: main: failed to quantize model"),
        ("q5_0", "is not sound: .* is missing"),
    ],
)
def test_a_program_that_fails_or_writes_half_leaves_nothing(
    out_type: str, what: str, program: Path, tiny_model: Path, tmp_path: Path
) -> None:
    folder = saved("llama", tiny_model, tmp_path / "model")
    with pytest.raises(TunedeckError, match=what):
        export_gguf(Subject("tiny", folder, dtype="float32"), tmp_path / "out.gguf", out_type=out_type)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "model"]


def test_without_the_program_it_is_named_before_anything_is_done(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="llama-quantize is not on PATH(.|\n)*q8_0 need no llama-quantize"):
        export_gguf(Subject("tiny", tiny_model), tmp_path / "out.gguf", out_type="q4_k_m")
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_known_before() -> None:
    assert predicted_bytes([(100, 320), (320,)], "q4_0") == 100 * 320 * 4.5 / 8 + 320 * 4
