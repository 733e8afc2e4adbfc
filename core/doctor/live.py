"""Try it: torch on its device, bitsandbytes, and the whole way from load to a checkpoint read back.

Runs in a process of its own (`core.doctor.live:try_out` as a workshop job), because a wrong driver or build
can end the process that touches it. Imports torch, transformers, peft.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.doctor.check import Check
from core.models.four_bit import four_bit_layers, keep_layout
from core.workspace import EMBEDDED_MODEL

STEPS = (
    "live: load",
    "live: answer",
    "live: training step",
    "live: write checkpoint",
    "live: read checkpoint",
)


def try_out(progress: Callable[[Check], None] | None = None) -> list[Check]:
    """Torch, bitsandbytes, then the five steps. A step that fails leaves the later ones untried."""
    found: list[Check] = []

    def tell(check: Check) -> None:
        found.append(check)
        if progress is not None:
            progress(check)

    tell(check_torch())
    tell(check_bitsandbytes())
    bench: dict[str, Any] = {}
    for name, step in zip(STEPS, (_load, _answer, _train, _write, _read), strict=True):
        began = time.monotonic()
        try:
            evidence = step(bench)
        except Exception as error:  # whatever a library or driver raises is the finding
            first = str(error).strip().splitlines()[:1]
            tell(Check(name, "fail", f"{type(error).__name__}: {' '.join(first)}", _fix(error)))
            for left in STEPS[STEPS.index(name) + 1 :]:
                tell(Check(left, "skip", f"not tried: {name.removeprefix('live: ')} failed"))
            break
        tell(Check(name, "ok", f"{evidence} ({time.monotonic() - began:.1f} s)"))
    return found


def check_torch() -> Check:
    """The build against the driver, and what the device can do."""
    import torch

    build = f"torch {torch.__version__}, " + (
        f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    )
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        native = "bf16" if major >= 8 else "no native bf16: use float16"
        state: Any = "ok" if major >= 8 else "warn"
        return Check("torch", state, f"{build}; capability {major}.{minor}, {native}")
    if _driver() and not torch.version.cuda:
        return Check("torch", "fail", f"{build}, and this machine has an NVIDIA driver {_driver()}",
                     "install a CUDA build of torch: see pytorch.org")  # fmt: skip
    if _driver():
        return Check("torch", "fail", f"{build} cannot use the driver {_driver()}",
                     "the driver is older than the build needs: update it, or install an older torch")  # fmt: skip
    return Check("torch", "ok", f"{build}; runs on the processor")


def check_bitsandbytes() -> Check:
    """Quantise a tensor to 4 bit on the device in use, and bring it back."""
    import torch

    device = _device()
    try:
        from bitsandbytes import functional

        weight = torch.linspace(-1, 1, 128 * 128, device=device).reshape(128, 128)
        packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
        back = functional.dequantize_4bit(packed, state)
        worst = float((back - weight).abs().max())
    except Exception as error:
        first = " ".join(str(error).strip().splitlines()[:1])
        fix = 'pip install -U bitsandbytes; without it use model.quantization = "none"'
        return Check(
            "bitsandbytes", "fail" if device == "cuda" else "warn", f"{type(error).__name__}: {first}", fix
        )
    if worst > 0.2:
        return Check(
            "bitsandbytes", "fail", f"4 bit on {device} comes back wrong by {worst:.2f}", "reinstall it"
        )
    return Check("bitsandbytes", "ok", f"4 bit on {device}: 128 x 128 back within {worst:.2f}")


def _load(bench: dict[str, Any]) -> str:
    """The demo model in 4 bit. A processor that bitsandbytes has no 4 bit for gets it in float32."""
    import transformers

    transformers.logging.set_verbosity_error()
    bench["tokenizer"] = transformers.AutoTokenizer.from_pretrained(EMBEDDED_MODEL)
    try:
        bench["model"] = _demo_in_4_bit()
        bench["model"](**bench["tokenizer"]("Repeat", return_tensors="pt").to(bench["model"].device))
    except Exception as error:
        if _device() == "cuda":
            raise
        first = " ".join(str(error).strip().splitlines()[:1])
        bench["model"] = _demo_in_float32()
        return f"the demo in float32: bitsandbytes has no 4 bit on this processor ({type(error).__name__}: {first})"
    place = "the GPU" if _device() == "cuda" else "the processor"
    return f"the demo on {place}, its {len(four_bit_layers(bench['model']))} linear layers in 4 bit"


def _demo_in_4_bit() -> Any:
    import torch
    import transformers

    dtype = torch.bfloat16 if _device() == "cuda" else torch.float32
    model = transformers.AutoModelForCausalLM.from_pretrained(
        EMBEDDED_MODEL,
        dtype=dtype,
        device_map={"": _device()},
        quantization_config=transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        ),
    )
    keep_layout(model)
    return model


def _demo_in_float32() -> Any:
    import torch
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(EMBEDDED_MODEL, dtype=torch.float32)


def _answer(bench: dict[str, Any]) -> str:
    messages = [{"role": "user", "content": "Repeat: The sky is blue."}]
    inputs = bench["tokenizer"].apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    inputs = {name: tensor.to(bench["model"].device) for name, tensor in inputs.items()}
    bench["ids"] = inputs["input_ids"]
    made = bench["model"].generate(**inputs, max_new_tokens=12, do_sample=False)
    text = bench["tokenizer"].decode(made[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return f"said {text.strip()!r}"


def _train(bench: dict[str, Any]) -> str:
    import peft
    import torch

    tuned = peft.get_peft_model(
        bench["model"], peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")
    )
    weights = [one for one in tuned.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-2)
    tuned.train()
    losses = []
    for _ in range(2):
        loss = tuned(input_ids=bench["ids"], labels=bench["ids"]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    if not losses[1] < losses[0]:
        raise RuntimeError(f"the loss did not fall: {losses[0]:.4f}, then {losses[1]:.4f}")
    bench["tuned"] = tuned.eval()
    return f"loss {losses[0]:.3f}, then {losses[1]:.3f}"


def _write(bench: dict[str, Any]) -> str:
    bench["folder"] = tempfile.TemporaryDirectory(prefix="tunedeck-doctor-")
    folder = Path(bench["folder"].name)
    bench["tuned"].save_pretrained(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return f"{size / 2**10:.0f} KiB"


def _read(bench: dict[str, Any]) -> str:
    """The adapter read back gives the same numbers."""
    import torch

    with torch.no_grad():
        before = bench["tuned"](input_ids=bench["ids"]).logits
        bench["tuned"].load_adapter(bench["folder"].name, adapter_name="again")
        bench["tuned"].set_adapter("again")
        after = bench["tuned"](input_ids=bench["ids"]).logits
    bench["folder"].cleanup()
    apart = float((before - after).abs().max())
    if apart > 1e-3:
        raise RuntimeError(f"the adapter read back gives other numbers (apart by {apart:.4f})")
    return "the same answers as before"


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _driver() -> str:
    """The NVIDIA driver's version; empty where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception:  # no library, no driver, no permission: nothing to compare with
        return ""


def _fix(error: Exception) -> str:
    text = str(error)
    if "out of memory" in text.lower():
        return "another process holds the GPU: see tunedeck gpus"
    if "kernel image" in text:
        return "this torch has no code for this GPU: install a build for it"
    return "the traceback is in the workshop's log; check the packages above first"
