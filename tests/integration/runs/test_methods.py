"""Every tuning method trains what it says, as many parameters as the plan counts, and loads again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

METHODS = {
    "lora": [],
    "lora on two layers": ['tuner.targets=["q_proj","v_proj"]', 'tuner.modules_to_save=["norm"]'],
    "lora by pattern": ['tuner.targets="re:.*layers\\\\.1\\\\..*_proj"'],
    "rslora": ["tuner.method=rslora"],
    "dora": ["tuner.method=dora"],
    "ia3": ["tuner.method=ia3"],
    "prompt": ["tuner.method=prompt", "tuner.virtual_tokens=4"],
    "prefix": ["tuner.method=prefix", "tuner.virtual_tokens=4"],
    "freeze": ["tuner.method=freeze", "tuner.train_last_layers=1"],
    "full": ["tuner.method=full"],
    "nf4": ["model.quantization=nf4", 'tuner.targets=["q_proj"]'],
    "fp4": ["model.quantization=fp4", "model.double_quantization=false", 'tuner.targets=["q_proj"]'],
    "int8": ["model.quantization=int8", 'tuner.targets=["q_proj"]'],
}


def trained_state(model: Any) -> dict[str, Any]:
    return {
        name: parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_and_loads_again(
    method: str, make_trainer: Callable[..., Any], tiny_model: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from core.models.architecture_of import read_model
    from core.models.targets import trainable_parameters
    from core.train.building import open_session
    from core.train.result import save_result
    from core.train.tuner import counts

    trainer = make_trainer(*METHODS[method], "training.max_steps=2", "training.warmup=0.0")
    recipe = trainer.run.read_recipe()
    planned = trainable_parameters(read_model(tiny_model), recipe.tuner)
    assert counts(trainer.model)[0] == planned.trainable
    before = trained_state(trainer.model)
    trainer.train()
    after = trained_state(trainer.model)
    assert after.keys() == before.keys()
    assert any(not before[name].equal(after[name]) for name in after)
    session = open_session(trainer.run, None, None, 0.0)  # type: ignore[arg-type]
    save_result(session, trainer)
    ids = torch.tensor([[5, 17, 60, 3]])
    trainer.model.eval()
    with torch.no_grad():
        expected = trainer.model(ids).logits
        if recipe.tuner.method in ("full", "freeze"):
            again = AutoModelForCausalLM.from_pretrained(trainer.run.model, dtype="float32")
        elif recipe.model.quantization != "none":
            return  # the base of a quantised adapter is loaded by the chat worker
        else:
            base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
            again = PeftModel.from_pretrained(base, trainer.run.adapter)
        assert torch.allclose(again.eval()(ids).logits, expected, atol=1e-5)


def loss_of(trainer: Any, weight: float, labels_are_all: bool = False) -> float:
    """The training loss of the first eight rows, as a step of the trainer computes it."""
    trainer.prompt_loss_weight = weight
    examples = [trainer.train_dataset[index] for index in range(8)]
    if labels_are_all:
        examples = [{**example, "labels": example["input_ids"]} for example in examples]
    batch = trainer.data_collator(examples)
    items = trainer._get_num_items_in_batch([batch], trainer.args.device)
    trainer.model.train()
    return trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=items).item()


def test_the_prompt_weight_is_trls_loss_at_zero_and_one(make_trainer: Callable[..., Any]) -> None:
    trainer = make_trainer("tuner.dropout=0.0")
    answers, everything = loss_of(trainer, 0.0), loss_of(trainer, 0.0, labels_are_all=True)
    assert answers != pytest.approx(everything, rel=1e-6)
    assert loss_of(trainer, 1e-12) == pytest.approx(answers, rel=1e-6)
    assert loss_of(trainer, 1.0) == pytest.approx(everything, rel=1e-6)
    # 24 rows of thirds: the weighted mean, by hand
    prompt, total = 0, 0
    for index in range(8):
        row = trainer.train_dataset[index]
        total += len(row["input_ids"]) - 1
        prompt += sum(label == -100 for label in row["labels"][1:])
    all_nll, answer_nll = everything * total, answers * (total - prompt)
    by_hand = (answer_nll + 0.1 * (all_nll - answer_nll)) / (total - prompt + 0.1 * prompt)
    assert loss_of(trainer, 0.1) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("method", ["lora", "dora", "prompt", "freeze", "full", "nf4"])
def test_a_checkpoint_goes_on_where_it_was(method: str, make_trainer: Callable[..., Any]) -> None:
    from core.runs.checkpoints import checkpoints

    options = [*METHODS[method], "training.max_steps=4", "training.save_steps=2"]
    whole = make_trainer(*options)
    whole.train()
    second = checkpoints(whole.run)[0]
    assert second.step == 2
    resumed = make_trainer(*options)
    resumed.train(resume_from_checkpoint=str(second.path))
    losses = [
        [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        for trainer in (whole, resumed)
    ]
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    theirs, ours = trained_state(whole.model), trained_state(resumed.model)
    assert all(theirs[name].dtype == ours[name].dtype for name in theirs)
    assert all(theirs[name].allclose(ours[name], atol=1e-6) for name in theirs)


def test_sixteen_bit_and_checkpointing_train(make_trainer: Callable[..., Any]) -> None:
    import torch

    trainer = make_trainer(
        "model.dtype=bfloat16", "training.gradient_checkpointing=true", "training.max_steps=2"
    )
    assert trainer.args.bf16 and trainer.args.gradient_checkpointing
    dtypes = {parameter.dtype for parameter in trainer.model.parameters() if parameter.requires_grad}
    assert trainer.model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert dtypes == {torch.float32}  # PEFT's own choice for adapters on 16-bit weights
    trainer.train()
    assert trainer.state.global_step == 2
    mixed = make_trainer(
        "tuner.method=full", "model.dtype=float32", "training.extra.bf16=true", "training.max_steps=1"
    )
    mixed.train()
    assert {p.dtype for p in mixed.model.parameters()} == {torch.float32} and mixed.args.bf16
    narrow = make_trainer("model.dtype=bfloat16", "tuner.adapter_dtype=bfloat16")
    assert {p.dtype for p in narrow.model.parameters() if p.requires_grad} == {torch.bfloat16}


@pytest.mark.parametrize(
    "optimizer",
    [
        "adamw_torch",
        "adafactor",
        "sgd",
        "adamw_8bit",
        "paged_adamw_8bit",
        "paged_lion_32bit",
        "ademamix_8bit",
    ],
)
def test_an_optimizer_moves_the_weights(optimizer: str, make_trainer: Callable[..., Any]) -> None:
    trainer = make_trainer(f"training.optimizer={optimizer}", "training.max_steps=1", "training.warmup=0.0")
    before = trained_state(trainer.model)
    trainer.train()
    after = trained_state(trainer.model)
    assert any(not before[name].equal(after[name]) for name in after)
    wrapped = trainer.optimizer.optimizer
    assert type(wrapped).__module__.startswith(
        "bitsandbytes" if any(mark in optimizer for mark in ("8bit", "paged")) else ("torch", "transformers")
    )


@pytest.mark.parametrize(
    ("scheduler", "rates"),
    [
        ("constant", [1e-3, 1e-3, 1e-3, 1e-3]),
        ("linear", [1e-3, 7.5e-4, 5e-4, 2.5e-4]),
        ("cosine", [1e-3, 8.5355e-4, 5e-4, 1.4645e-4]),
        ("cosine_with_min_lr", [1e-3, 8.6820e-4, 5.5e-4, 2.3180e-4]),
        ("warmup_stable_decay", [1e-3, 1e-3, 1e-3, 5e-4]),
    ],
)
def test_a_scheduler_sets_the_learning_rate(
    scheduler: str, rates: list[float], make_trainer: Callable[..., Any]
) -> None:
    arguments = {"cosine_with_min_lr": "{min_lr_rate=0.1}", "warmup_stable_decay": "{num_decay_steps=2}"}
    extra = [f"training.extra.lr_scheduler_kwargs={arguments[scheduler]}"] if scheduler in arguments else []
    trainer = make_trainer(
        f"training.scheduler={scheduler}", "training.max_steps=4", "training.warmup=0.0", *extra
    )
    trainer.train()
    logged = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    assert logged == pytest.approx(rates, rel=1e-3)
