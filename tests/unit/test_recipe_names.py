"""Names of transformers and TRL in a recipe are checked when it is read, against what is installed, without importing it."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from core.errors import MissingError
from core.recipe import RecipeError, parse_recipe, require_here
from core.recipe_names import (
    COMMON_OPTIMIZERS,
    COMMON_SCHEDULERS,
    DECIDED_ELSEWHERE,
    optimizers,
    schedulers,
    sft_fields,
)
from core.recipe_needs import package_of


def test_what_the_source_says_is_what_the_installed_classes_have() -> None:
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames
    from trl import SFTConfig

    assert sft_fields() == {field.name for field in dataclasses.fields(SFTConfig) if field.init}
    assert optimizers() == {one.value for one in OptimizerNames}
    assert schedulers() == {one.value for one in SchedulerType}
    assert optimizers() >= COMMON_OPTIMIZERS and schedulers() >= COMMON_SCHEDULERS
    assert sft_fields() >= DECIDED_ELSEWHERE.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[training]\noptimizer = "adamw_troch"\n',
            'recipe: line 2: the installed transformers has no optimizer "adamw_troch"; did you mean adamw_torch?',
        ),
        (
            '[training]\nscheduler = "cosin"\n',
            'recipe: line 2: the installed transformers has no scheduler "cosin"; did you mean cosine?',
        ),
        (
            "[training.extra]\nweight_decey = 1\n",
            "recipe: line 2: training.extra.weight_decey is not a field of the installed SFTConfig; "
            "did you mean weight_decay?",
        ),
        (
            '[model]\ndtype = "float16"\n[training.extra]\nbf16 = true\n',
            "recipe: line 4: training.extra.bf16 computes in bfloat16, and model.dtype is float16; "
            'remove it, or use model.dtype = "bfloat16" or "float32"',
        ),
        (
            '[training.extra]\noutput_dir = "x"\n',
            "recipe: line 2: training.extra.output_dir is decided by the run folder; remove it",
        ),
        (
            '[training]\nscheduler = "cosine_with_min_lr"\n',
            "recipe: line 2: cosine_with_min_lr needs min_lr or min_lr_rate; "
            "for example training.extra.lr_scheduler_kwargs = { min_lr_rate = 0.1 }",
        ),
        (
            '[data]\neval_fraction = 0\n[training]\nscheduler = "reduce_lr_on_plateau"\n',
            "recipe: line 4: reduce_lr_on_plateau follows the evaluation, and no rows are held out; "
            "set data.eval_fraction or data.eval_source",
        ),
        (
            '[training]\nreport_to = ["wandbb"]\n',
            "recipe: line 2: there is no tracker wandbb; did you mean wandb?",
        ),
    ],
)
def test_a_wrong_name_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_recipe(text)
    assert str(refused.value) == message


def test_no_package_is_imported_for_it() -> None:
    import subprocess

    code = (
        "import sys; from core.recipe import parse_recipe\n"
        'parse_recipe(\'[training]\\nscheduler="greedy"\\noptimizer="rmsprop"\\n[training.extra]\\nadam_beta1=0.8\')\n'
        "print(*(name for name in ('torch', 'transformers', 'trl') if name in sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "\n"
    )


def test_the_package_of_every_optimizer() -> None:
    own = {"adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"}
    assert {name for name in optimizers() if not package_of(name)} == own
    bitsandbytes = {name for name in optimizers() if package_of(name) == "bitsandbytes"}
    assert {"paged_adamw_8bit", "lion_32bit", "ademamix", "adamw_8bit", "rmsprop_bnb"} <= bitsandbytes
    assert package_of("adamw_torch_8bit") == "torchao" and package_of("galore_adamw_8bit") == "galore_torch"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "training.optimizer=schedule_free_adamw",
            "schedule_free_adamw needs schedulefree, which is not installed",
        ),
        (
            "training.optimizer=paged_adamw_8bit",
            "paged_adamw_8bit needs bitsandbytes, which is not installed",
        ),
        ("training.extra.use_liger_kernel=true", "use_liger_kernel needs the package liger-kernel"),
        ("model.use_kernels=true", "use_kernels needs the package kernels"),
        ("model.quantization=fp4", "fp4 needs bitsandbytes"),
        ("training.report_to=['wandb']", "wandb is not installed here"),
    ],
)
def test_what_is_not_installed_is_refused_with_the_reason(
    change: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.recipe_needs._installed", lambda package: False)
    with pytest.raises(MissingError, match=words):
        require_here(parse_recipe("", [change]))
