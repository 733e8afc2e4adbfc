"""4-bit layers on this machine's processor, through the trainer's own loading."""

from __future__ import annotations

import json

import torch

from core.recipe import parse_recipe
from core.train.loading import load_base
from core.workspace import EMBEDDED_MODEL


def test_an_answer_in_between_does_not_stop_the_learning() -> None:
    changes = {"model.quantization": "nf4", "model.dtype": "bfloat16", "model.attention": "sdpa"}
    recipe = parse_recipe("", [f"{key}={json.dumps(value)}" for key, value in changes.items()], where="here")
    model = load_base(EMBEDDED_MODEL, recipe, on_cpu=True)
    ids = torch.arange(8).reshape(1, 8)
    seen = model.model.layers[-1].mlp.down_proj
    entered: list[torch.Tensor] = []
    seen.register_forward_pre_hook(lambda _, given: entered.append(given[0]))

    def gradient() -> torch.Tensor:
        vectors = model.get_input_embeddings()(ids).detach().requires_grad_()
        model.train()(inputs_embeds=vectors, labels=ids)
        entered[-1].retain_grad()
        seen(entered[-1]).sum().backward()
        assert entered[-1].grad is not None
        return entered[-1].grad

    before = gradient()
    with torch.no_grad():
        model.eval()(input_ids=ids)
    after = gradient()
    assert float(before.abs().max()) > 0
    assert torch.equal(before, after)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.eval()(input_ids=ids)
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())
