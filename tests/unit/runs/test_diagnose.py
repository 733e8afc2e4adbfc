"""Every known trouble, by a line as the libraries write it, is found under its own name."""

from __future__ import annotations

import pytest

from core.runs.diagnose import KNOWN, diagnose

LINES = {
    "no batch size fits": "RuntimeError: No executable batch size found, reached zero.",
    "gpu memory": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity",
    "host memory of torch": "RuntimeError: [enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
    "quantised without adapter": "ValueError: You cannot perform fine-tuning on purely quantized models. Please attach trainable adapters",
    "no targets known": "ValueError: Please specify `target_modules` (or `target_parameters`)in `peft_config`",
    "targets not found": "ValueError: Target modules {'c_attn'} not found in the base model. Please check",
    "wrapped twice": "ValueError: You passed a `PeftModel` instance together with a `peft_config` to the trainer.",
    "adapter on the head": "ValueError: Applying a PEFT adapter to `lm_head` is not supported: the log-probabilities",
    "old load argument": "TypeError: LlamaForCausalLM.__init__() got an unexpected keyword argument 'load_in_4bit'",
    "evaluation_strategy": "TypeError: TrainingArguments.__init__() got an unexpected keyword argument 'evaluation_strategy'",
    "max_seq_length": "TypeError: SFTConfig.__init__() got an unexpected keyword argument 'max_seq_length'",
    "warmup_ratio": "TypeError: SFTConfig.__init__() got an unexpected keyword argument 'warmup_ratio'",
    "logging_dir": "TypeError: SFTConfig.__init__() got an unexpected keyword argument 'logging_dir'",
    "tokenizer argument": "TypeError: SFTTrainer.__init__() got an unexpected keyword argument 'tokenizer'",
    "old completion collator": "ImportError: cannot import name 'DataCollatorForCompletionOnlyLM' from 'trl'",
    "setup_chat_format": "ImportError: cannot import name 'setup_chat_format' from 'trl'",
    "dataset_formatting": "ModuleNotFoundError: No module named 'trl.extras.dataset_formatting'",
    "formatting with completion loss": "ValueError: A formatting function was provided while `completion_only_loss=True`",
    "no assistant tokens": "RuntimeError: You're using `assistant_only_loss=True`, but at least one example has no assistant tokens.",
    "not conversational": "ValueError: You set `assistant_only_loss=True`, but the dataset is not conversational. This option",
    "padding-free length": "ValueError: When `padding_free=True` without packing, `max_length` is not enforced. Either",
    "padding-free collator": "ValueError: Passing a custom data collator is not supported when using padding-free.",
    "packing without length": "ValueError: When packing is enabled, `max_length` can't be `None`.",
    "masks without labels": "ValueError: The train dataset has mask columns but no 'labels', and `skip_prepare_dataset=True`",
    "unknown pad token": "ValueError: The specified `pad_token` ('<pad>') is not found in the vocabulary of the given",
    "no pad token": "ValueError: Asking to pad but the tokenizer does not have a padding token. Please select",
    "no template": "ValueError: Cannot use chat template functions because tokenizer.chat_template is not set and no",
    "roles alternate": "jinja2.exceptions.TemplateError: Conversation roles must alternate user/assistant/user/assistant/...",
    "no system role": "jinja2.exceptions.TemplateError: System role not supported",
    "unequal columns": "pyarrow.lib.ArrowInvalid: Column 1 named input_ids expected length 1000 but got length 998",
    "ragged batch": "RuntimeError: each element in list of batch should be of equal size",
    "embedding size": "RuntimeError: Error(s) in loading state_dict: size mismatch for model.embed_tokens.weight: copying a param",
    "other base": "RuntimeError: Error(s) in loading state_dict for PeftModelForCausalLM: Missing key(s)",
    "id beyond the embedding": "RuntimeError: CUDA error: device-side assert triggered",
    "half against float": "RuntimeError: expected scalar type Half but found Float",
    "dtype mix": "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and BFloat16",
    "merge after dequantise": "AttributeError: 'Parameter' object has no attribute 'quant_state'",
    "tied layer skipped": "AttributeError: 'Parameter' object has no attribute 'SCB'",
    "no adapter layers": "ValueError: No adapter layers found in the model, please ensure that it's a PEFT model",
    "no bfloat16": "ValueError: Your setup doesn't support bf16/gpu.",
    "flash attention in fp32": "RuntimeError: FlashAttention only support fp16 and bf16 data type",
    "flash attention missing": "ImportError: FlashAttention2 has been toggled on, but it cannot be used due to the following error",
    "flash attention without dtype": "You are attempting to use Flash Attention 2 without specifying a torch dtype.",
    "4-bit compute dtype": "UserWarning: Input type into Linear4bit is torch.float16, but bnb_4bit_compute_dtype=torch.float32 (default)",
    "8-bit cast": "UserWarning: MatMul8bitLt: inputs will be cast from torch.bfloat16 to float16 during quantization",
    "merge into quantised": "UserWarning: Merge lora module to 4-bit linear may get different generations due to rounding errors.",
    "tied target": "UserWarning: Model with `tie_word_embeddings=True` and the tied_target_modules=['lm_head'] are part of the adapter",
    "embedding saved too": "UserWarning: Setting `save_embedding_layers` to `True` as the embedding layer has been resized",
    "prompt is no prefix": "The tokenized prompt is not a prefix of the tokenized prompt+completion. This can happen",
    "stop token not trained": "The chat template does not include the assistant turn's end-of-turn token in the loss mask;",
    "new tokens by template": "Cloning chat template added new tokens to the tokenizer, but 'lm_head' is not in PEFT's",
    "data parallel": "ValueError: SFTTrainer does not support `nn.DataParallel`, which `Trainer` uses when several GPUs",
    "best model strategies": "ValueError: --load_best_model_at_end requires the save and eval strategy to match, but found",
    "checkpointing without gradients": "UserWarning: None of the inputs have requires_grad=True. Gradients will be None",
    "nothing trainable": "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn",
    "torch_dtype": "`torch_dtype` is deprecated! Use `dtype` instead!",
    "long row": "Token indices sequence length is longer than the specified maximum sequence length for this model (9 > 8)",
    "unknown architecture": "ValueError: The checkpoint has model type `new` but Transformers does not recognize this architecture.",
    "gated": "OSError: You are trying to access a gated repo. Make sure to have access to it at",
    "disk full": "OSError: [Errno 28] No space left on device",
    "no bitsandbytes": "ModuleNotFoundError: No module named 'bitsandbytes'",
    "no sentencepiece": "ModuleNotFoundError: No module named 'sentencepiece'",
    "killed": "step 12\nKilled\n",
    "no ollama": "Error: could not connect to ollama app, is it running?",
    "response key": "RuntimeError: Could not find response key [19, 2] in token IDs",
    "old packing check": "ValueError: You passed `packing=False` to the SFTTrainer, but you didn't pass a `dataset_text_field`",
    "length not given": "UserWarning: You didn't pass a `max_seq_length` argument to the SFTTrainer, this will default to 1024",
    "padding side": "UserWarning: You passed a tokenizer with `padding_side` not equal to `right` to the SFTTrainer.",
}


@pytest.mark.parametrize("name", LINES)
def test_a_known_trouble_is_found(name: str) -> None:
    known = diagnose(f"some line before\n{LINES[name]}\n")
    assert known is not None and known.name == name
    assert known.cause and known.remedy


def test_every_pattern_has_a_line_and_unknown_text_has_none() -> None:
    assert set(LINES) == {known.name for known in KNOWN}
    assert diagnose("step 3/10 loss 1.2345\nall is well") is None
