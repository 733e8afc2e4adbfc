"""From the text of a log or an exception to its cause and remedy, in two lines.

The first pattern that fits wins, so the specific ones stand before the generic ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A known trouble: how a log shows it, why it happens, and what to do."""

    name: str
    pattern: str
    cause: str
    remedy: str


KNOWN: tuple[Known, ...] = (
    Known(
        "no batch size fits",
        r"No executable batch size found, reached zero",
        "Not even one row per step fits in memory",
        "Turn on gradient checkpointing, lower data.max_length, or load the base in nf4",
    ),
    Known(
        "gpu memory",
        r"CUDA out of memory|torch\.OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED",
        "The peak was over the free GPU memory",
        "Take one of the plan's levers; see which other processes hold memory with tunedeck doctor",
    ),
    Known(
        "host memory of torch",
        r"DefaultCPUAllocator: can't allocate memory",
        "The host has no memory left for a tensor",
        "Lower training.micro_batch or data.max_length, or end other programs",
    ),
    Known(
        "quantised without adapter",
        r"You cannot perform fine-tuning on purely quantized models",
        "Quantised weights cannot be trained themselves",
        'Use tuner.method = "lora", or model.quantization = "none"',
    ),
    Known(
        "no targets known",
        r"Please specify .target_modules.(?: \(or .target_parameters.\s*\))?\s*in .peft_config",
        "PEFT does not know this architecture's layers",
        'Use tuner.targets = "all-linear", or name the layers (tunedeck models targets)',
    ),
    Known(
        "targets not found",
        r"Target modules .* not found in the base model",
        "The named target layers are not in this model",
        "See its layers with tunedeck models targets",
    ),
    Known(
        "wrapped twice",
        r"You passed a .PeftModel. instance together with a .peft_config.",
        "The model already carries an adapter",
        "Start from the bare base model",
    ),
    Known(
        "adapter on the head",
        r"Applying a PEFT adapter to .lm_head. is not supported",
        "TRL's loss reads the raw head, so an adapter there would never be trained",
        "Take lm_head out of tuner.targets",
    ),
    Known(
        "old load argument",
        r"unexpected keyword argument .load_in_[48]bit.",
        "Loading in 4 or 8 bit is asked for by a quantization_config now",
        "Use model.quantization in the recipe",
    ),
    Known(
        "evaluation_strategy",
        r"unexpected keyword argument .evaluation_strategy",
        "The argument was renamed to eval_strategy",
        "Use training.eval_steps in the recipe",
    ),
    Known(
        "max_seq_length",
        r"unexpected keyword argument .max_seq_length",
        "The argument was renamed to max_length",
        "Use data.max_length in the recipe",
    ),
    Known(
        "warmup_ratio",
        r"unexpected keyword argument .warmup_ratio",
        "The argument is gone; warmup_steps below 1 is a share of the steps",
        "Use training.warmup in the recipe",
    ),
    Known(
        "logging_dir",
        r"unexpected keyword argument .logging_dir",
        "The argument is gone",
        "Remove it; events and log lie in the run folder",
    ),
    Known(
        "tokenizer argument",
        r"unexpected keyword argument .tokenizer",
        "The argument was renamed to processing_class",
        "Rename it in your own script",
    ),
    Known(
        "old completion collator",
        r"cannot import name .DataCollatorForCompletionOnlyLM",
        "The class was removed from TRL",
        "Use data.loss_on in the recipe",
    ),
    Known(
        "setup_chat_format",
        r"cannot import name .setup_chat_format",
        "The function was removed from TRL",
        "Use data.template in the recipe",
    ),
    Known(
        "dataset_formatting",
        r"No module named .trl\.extras\.dataset_formatting",
        "The module was removed from TRL",
        "Let tunedeck read the rows: data.format",
    ),
    Known(
        "formatting with completion loss",
        r"formatting function was provided while .completion_only_loss",
        "A formatting function turns rows into plain text, which has no completion",
        "Give prompt and completion columns, or train on all tokens",
    ),
    Known(
        "no assistant tokens",
        r"at least one example has no assistant tokens",
        "The template marks no assistant text, or an assistant turn is empty",
        'Use data.template = "trl-training", or look for empty answers with tunedeck check',
    ),
    Known(
        "not conversational",
        r"dataset is not conversational",
        "Assistant-only loss needs rows of messages",
        'Use data.loss_on = "all", or give rows of messages',
    ),
    Known(
        "padding-free length",
        r"When .padding_free=True. without packing, .max_length. is not enforced",
        "Padding-free training does not cut rows",
        'Use data.packing = "bfd"',
    ),
    Known(
        "padding-free collator",
        r"Passing a custom data collator is not supported when using padding-free",
        "Packing needs TRL's own collator",
        "Drop the collator from your own script",
    ),
    Known(
        "packing without length",
        r"When packing is enabled, .max_length. can't be .None.|unsupported operand type\(s\) for \*: .NoneType. and .float.",
        "Packing has no length to pack to",
        "Set data.max_length",
    ),
    Known(
        "masks without labels",
        r"has mask columns but no .labels.",
        "The prepared data has masks but no labels",
        "Prepare it again with tunedeck prepare",
    ),
    Known(
        "unknown pad token",
        r"pad_token. .* is not found in the vocabulary",
        "The pad token is not in the vocabulary",
        "Name a token that exists",
    ),
    Known(
        "no pad token",
        r"Asking to pad but the tokenizer does not have a padding token",
        "The tokenizer has no pad token",
        "Set one that is not the end token",
    ),
    Known(
        "no template",
        r"chat_template is not set",
        "This is a base model: its tokenizer has no chat template",
        "Use an instruct model, name data.template, or give rows of plain text",
    ),
    Known(
        "roles alternate",
        r"Conversation roles must alternate",
        "The template refuses two turns of the same role in a row",
        "Merge such turns in the data; tunedeck check lists the rows",
    ),
    Known(
        "no system role",
        r"System role not supported",
        "The template refuses a system message",
        "Put its text into the first user turn; tunedeck check lists the rows",
    ),
    Known(
        "unequal columns",
        r"ArrowInvalid.*Column \d+ named input_ids expected length",
        "A map function returned columns of unequal length",
        "Return one entry per row",
    ),
    Known(
        "ragged batch",
        r"each element in list of batch should be of equal size",
        "Rows of unequal length met a collator that does not pad",
        "Use a collator that pads",
    ),
    Known(
        "embedding size",
        r"size mismatch for .*embed_tokens",
        "The adapter was saved with a resized embedding",
        "Resize the base to the size in the message before loading it",
    ),
    Known(
        "other base",
        r"Error\(s\) in loading state_dict",
        "The weights belong to another model or revision",
        "Compare model.source and model.revision with those of the run that saved them",
    ),
    Known(
        "id beyond the embedding",
        r"device-side assert triggered|index out of range in self",
        "A token id is beyond the embedding, or a row is longer than the model's positions",
        "Compare the tokenizer's size with the model's; lower data.max_length",
    ),
    Known(
        "half against float",
        r"expected scalar type Half but found Float",
        "16-bit and 32-bit tensors met: mixed precision on an 8-bit base",
        'Use model.quantization = "nf4", or model.dtype = "bfloat16"',
    ),
    Known(
        "dtype mix",
        r"must have the same dtype",
        "Two tensors of different precision met",
        "Use one model.dtype for training and chat",
    ),
    Known(
        "merge after dequantise",
        r"object has no attribute .quant_state.",
        "An adapter was merged into weights that are no longer quantised",
        "Load the base unquantised and merge there",
    ),
    Known(
        "tied layer skipped",
        r"object has no attribute .SCB.",
        "A tied layer was quantised that should have been left out",
        "Leave the quantiser's own list of skipped layers as it is",
    ),
    Known(
        "no adapter layers",
        r"No adapter layers found in the model",
        "The adapter was already unloaded",
        "Ask for its state before unloading",
    ),
    Known(
        "no bfloat16",
        r"setup doesn't support bf16|no native bfloat16",
        "This device has no bfloat16",
        'Use model.dtype = "float16", or "float32"',
    ),
    Known(
        "flash attention in fp32",
        r"FlashAttention only support fp16 and bf16|Flash Attention [0-9.]+ only supports torch\.float16 and torch\.bfloat16",
        "Flash attention works in 16 bit only",
        'Use model.dtype = "bfloat16", or model.attention = "sdpa"',
    ),
    Known(
        "flash attention missing",
        r"has been toggled on, but it cannot be used|flash_attn.* (?:is )?not installed",
        "Flash attention is not installed or does not support this GPU",
        'Use model.attention = "sdpa"',
    ),
    Known(
        "flash attention without dtype",
        r"attempting to use Flash Attention .*without specifying a (?:torch )?dtype",
        "Flash attention was asked for without a dtype",
        "Set model.dtype",
    ),
    Known(
        "4-bit compute dtype",
        r"Input type into Linear4bit is torch\.float16, but bnb_4bit_compute_dtype=torch\.float32",
        "The 4-bit layers compute in another dtype than the rest",
        "Set model.dtype; tunedeck computes in it",
    ),
    Known(
        "8-bit cast",
        r"MatMul8bitLt: inputs will be cast from",
        "8-bit layers cast their input; this is harmless",
        "Nothing to do",
    ),
    Known(
        "merge into quantised",
        r"Merge lora module to [48]-bit linear",
        "Merging into quantised weights rounds the result",
        "Merge into the 16-bit base: tunedeck export --merged does so",
    ),
    Known(
        "tied target",
        r"tie_word_embeddings=True. and the tied_target_modules",
        "A target layer shares its weight with the embedding",
        "Take lm_head out of tuner.targets",
    ),
    Known(
        "embedding saved too",
        r"Setting .save_embedding_layers. to .True.",
        "The embedding was resized or trained, so the adapter carries it whole",
        "To make GGUF of it, merge first",
    ),
    Known(
        "prompt is no prefix",
        r"is not a prefix of the tokenized prompt.completion",
        "The prompt alone is tokenised differently than with its completion",
        "End the prompt on a marker of the template; tunedeck check lists the rows",
    ),
    Known(
        "stop token not trained",
        r"end-of-turn token in the loss mask",
        "The stop token is outside the loss, so answers would never end",
        "Use the labels of tunedeck, or mend the template",
    ),
    Known(
        "new tokens by template",
        r"Cloning chat template added new tokens",
        "The template brought new tokens, whose rows and head must be trained",
        'Set tuner.modules_to_save = ["lm_head"], or keep the model\'s own template',
    ),
    Known(
        "data parallel",
        r"does not support .nn\.DataParallel.",
        "Several GPUs are visible to one process",
        'Use launch.strategy = "ddp", or name one GPU in launch.devices',
    ),
    Known(
        "best model strategies",
        r"load_best_model_at_end requires the save and eval strategy to match",
        "Saving and evaluating happen at different steps",
        "Set training.save_steps equal to training.eval_steps",
    ),
    Known(
        "checkpointing without gradients",
        r"None of the inputs have requires_grad",
        "Checkpointed layers get inputs without gradients",
        "Let tunedeck set checkpointing: training.gradient_checkpointing",
    ),
    Known(
        "nothing trainable",
        r"element 0 of tensors does not require grad",
        "Nothing in the model is trainable",
        "Look at tuner.method and tuner.targets",
    ),
    Known(
        "torch_dtype",
        r"torch_dtype. is deprecated",
        "The argument is called dtype now; this is harmless",
        "Rename it in your own script",
    ),
    Known(
        "long row",
        r"Token indices sequence length is longer than the specified maximum",
        "A row is longer than the tokenizer's limit",
        "Set data.max_length; tunedeck check lists the rows that are cut",
    ),
    Known(
        "unknown architecture",
        r"does not recognize this architecture",
        "The installed transformers is older than the model",
        "Upgrade transformers, or choose another model",
    ),
    Known(
        "gated",
        r"trying to access a gated repo",
        "The model's owner asks you to accept its terms first",
        "Accept them on its page, then set HF_TOKEN",
    ),
    Known(
        "disk full",
        r"No space left on device",
        "The disk is full",
        "Free space, or name another workspace or HF_HOME",
    ),
    Known(
        "no bitsandbytes",
        r"No module named .bitsandbytes",
        "bitsandbytes is not installed",
        'Install it, or use model.quantization = "none"',
    ),
    Known(
        "no sentencepiece",
        r"No module named .sentencepiece",
        "This tokenizer needs sentencepiece",
        "Install sentencepiece and protobuf",
    ),
    Known(
        "killed",
        r"(?m)^Killed$|exit(?:ed with)? code:? -9|SIGKILL",
        "The system ended the process, most often because the host ran out of memory",
        "Look at the host's memory; lower data.max_length or training.micro_batch",
    ),
    Known(
        "no ollama",
        r"could not connect to ollama app",
        "The ollama server is not running",
        "Start it with ollama serve",
    ),
    Known(
        "response key",
        r"Could not find response key",
        "The marker before the answer is not found in the tokenised text",
        'Use data.loss_on = "assistant"',
    ),
    Known(
        "old packing check",
        r"You passed .packing=False. to the SFTTrainer, but you didn't pass",
        "An old TRL checks for a schema this data does not have",
        "Upgrade TRL",
    ),
    Known(
        "length not given",
        r"You didn't pass a .max_seq_length.",
        "An old TRL took its own length",
        "Set data.max_length and upgrade TRL",
    ),
    Known(
        "padding side",
        r"padding_side.? not equal to .?right",
        "An old TRL warns about left padding; this is harmless",
        "Nothing to do",
    ),
)


def diagnose(text: str) -> Known | None:
    """The first known trouble in a text (an exception, or the last lines of a log); None if none is known."""
    return next((known for known in KNOWN if re.search(known.pattern, text)), None)
