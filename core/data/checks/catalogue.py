"""Every diagnosis: code, severity, what causes it and what to do. docs/data.md prints the same table.

`stage` orders cause before effect: where an error of an early stage is found in a row, signs of later stages are
its consequences and are not told again. Stage 0: the row is not trained. 1: its text is wrong. 2: its ids
are wrong. 3: its labels are wrong. 9: true whatever else is.

A cause may name {detail} (of the first row) and {amount} (summed over the rows).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.data.types import Severity


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One kind of finding."""

    severity: Severity
    stage: int
    cause: str
    fix: str


CATALOGUE: dict[str, Diagnosis] = {
    # Rows that are not trained.
    "template-refuses": Diagnosis("error", 0, "not trained: {detail}", "mend these rows, or choose another data.template"),
    "system-refused": Diagnosis("error", 0, "not trained: the template accepts the row only without its system message ({detail})", "move the system text into the first user message, or choose another data.template"),
    "role-order-refused": Diagnosis("error", 0, "not trained: the template accepts only user and assistant by turns ({detail})", "join turns of one role, and begin with the user"),
    "tools-refused": Diagnosis("error", 0, "not trained: the template refuses this row's tools or tool calls ({detail})", "write tools as the model's documentation shows them, or choose another data.template"),
    "no-template": Diagnosis("error", 0, "not trained: the model has no chat template", "name one in data.template, or use rows of plain text"),
    "not-aligned": Diagnosis("error", 0, "not trained: {detail}", 'use data.template = "trl-training", or loss_on = "completion"'),
    "no-trained-token": Diagnosis("error", 0, "not trained: {detail}", "give these rows an answer, or choose another data.loss_on"),
    "no-answer": Diagnosis("error", 0, "not trained: the conversation has no answer", "take these rows out, or add the answer"),
    "cut-before-answer": Diagnosis("error", 0, "not trained: the prompt alone fills max_length, {detail}", "raise data.max_length, or shorten the prompts"),
    "empty-rendering": Diagnosis("error", 0, "not trained: the template renders the row to nothing; its roles are {detail}", "check the role names"),
    "loss-on-impossible": Diagnosis("error", 0, "not trained: {detail}", 'use loss_on = "auto"'),
    "preference-rows": Diagnosis("error", 0, "not trained: a row of preference data; supervised training would learn one answer and ignore the verdict", "keep the good answers as conversations"),
    "lone-surrogate": Diagnosis("error", 0, "not trained: {detail}", "write the file again from its source"),
    # The text is wrong.
    "unknown-role": Diagnosis("error", 1, "role {detail} is none that chat templates know, and its text is not in the rendering", "rename it to system, user, assistant or tool"),
    "odd-role": Diagnosis("warning", 1, "role {detail} is none that chat templates know; this template prints it as it is", "rename it to system, user, assistant or tool"),
    "system-dropped": Diagnosis("error", 1, "the template drops the system message", "put it into the first user message, or choose another data.template"),
    "text-dropped": Diagnosis("error", 1, "the template drops text: {detail}", "choose a data.template that prints it, or take it out of the rows"),
    "tool-call-dropped": Diagnosis("error", 1, "the template prints no tool calls, so the model never learns to call", "choose a data.template with tool support"),
    "tool-result-dropped": Diagnosis("error", 1, "the template drops tool results", "choose a data.template with tool support"),
    "thinking-dropped": Diagnosis("error", 1, "the template drops the thinking of the last answer, so it is not learned", "choose a data.template that prints it, or write it into the content"),
    "thinking-stripped": Diagnosis("warning", 1, "the template drops the thinking of earlier turns: {amount} turns carry loss without it", 'that is how the model sees history; to train every thought use loss_on = "last" on one row per turn, or data.template = "trl-training"'),
    "tools-ignored": Diagnosis("error", 1, "the template ignores tools: renderings with and without them are equal", "choose a data.template with tool support"),
    "null-argument": Diagnosis("error", 1, "a tool call holds null where the tool's schema has no such argument ({detail}); the file's writer put it there, and the model would learn it", "write the file as JSON lines, or drop the null keys"),
    "arguments-as-text": Diagnosis("error", 1, "the arguments of a tool call are text that is not JSON, and are printed escaped ({detail})", "write arguments as an object"),
    "think-tags": Diagnosis("warning", 1, "think tags of an answer do not pair: {detail}", "write every thought as one <think> block, or as reasoning_content"),
    "special-in-content": Diagnosis("warning", 1, "content holds {detail}, which becomes a control token", "take such texts out of the data: a reader of untrusted text could forge turns"),
    # The ids are wrong.
    "double-bos": Diagnosis("error", 2, "the row begins with two BOS tokens: the text holds one and the tokenizer adds another", "take the BOS text out of the rows"),
    "double-eos": Diagnosis("warning", 2, "the same end token stands twice in a row: {detail}", "take the end token out of the data: it is added by itself"),
    "missing-eos": Diagnosis("error", 2, "the row ends without an end token, and the tokenizer has none to append", "set eos_token in the tokenizer"),
    "id-outside-embeddings": Diagnosis("error", 2, "token id {detail} is beyond the model's embedding rows", "use the tokenizer that belongs to the model"),
    # The labels are wrong.
    "markers-miss-answer": Diagnosis("error", 3, "the template's generation markers leave out part of an answer: {detail}", 'use a mended template, or loss_on = "completion" on prompt and completion rows'),
    "markers-take-prompt": Diagnosis("error", 3, "the template's generation markers take in what the model need not write: {detail}", "use a mended template"),
    "prompt-in-loss": Diagnosis("error", 3, "{amount} tokens of user or system text carry loss", 'use loss_on = "assistant"'),
    "tool-result-in-loss": Diagnosis("error", 3, "{amount} tokens of tool results carry loss: the model would learn to invent them", 'use loss_on = "assistant"'),
    "next-turn-in-loss": Diagnosis("error", 3, "what stands between an answer and the next turn carries loss: {detail}; the model would learn to write the other side's role", 'use loss_on = "assistant"'),
    "header-in-loss": Diagnosis("warning", 3, "the role tag before an answer carries loss, though the generation prompt supplies it: {detail}", 'use data.template = "model", or begin the answers without blanks'),
    "supplied-in-loss": Diagnosis("note", 3, "the generation prompt supplies {detail} before an answer, and it carries loss all the same", 'nothing breaks; data.template = "model" leaves it out'),
    "all-trained": Diagnosis("error", 3, "every token carries loss although {detail} was asked for", "check the labels, masks and prompts in these rows"),
    "stop-outside-loss": Diagnosis("error", 3, "the token that ends an answer carries no loss, so the model does not learn to stop", "use a template whose markers take in the end token"),
    "no-stop": Diagnosis("error", 3, "no end token follows an answer in the rendering, so the model does not learn to stop", "use a template that ends every turn, or add the end token to the answers"),
    "wrong-stop": Diagnosis("warning", 3, "answers end with {detail}, but generation stops on other tokens only", "add it to eos_token_id in generation_config.json, or chat runs on"),
    "prompt-mismatch": Diagnosis("warning", 3, "the prompt as it is given at inference is not how the training text begins: {detail}", "use one row per answer, or a template that keeps history as it was"),
    "boundary-merge": Diagnosis("warning", 3, "one token covers the end of the prompt and the start of the answer: {detail}", "begin the answer without blanks, or end the prompt on a full token"),
    "labels-shifted": Diagnosis("error", 3, "the labels are the ids moved by one: they were shifted already, and the trainer shifts again", "write labels in the place of their own token"),
    # True whatever else is.
    "answer-cut": Diagnosis("warning", 9, "max_length cuts the answer: {amount} trained tokens are lost, the end token among them", "raise data.max_length, or split the rows"),
    "empty-answer": Diagnosis("warning", 9, "an answer is empty or blank", "take these rows out, unless silence is meant"),
    "empty-question": Diagnosis("warning", 9, "a user message is empty or blank", "write the question, or take these rows out"),
    "role-order": Diagnosis("warning", 9, "turns out of order: {detail}", "begin with system or user, and let a tool result follow its call"),
    "same-role-twice": Diagnosis("warning", 9, "two turns of one role in a row: {detail}", "join them"),
    "ends-on-user": Diagnosis("note", 9, "the conversation ends on the user; the last question is never answered", "take the last turn out, or add the answer"),
    "flags-unused": Diagnosis("error", 9, 'the rows carry flags or weights per message, and loss_on = "{detail}" does not read them', 'use loss_on = "flags"'),
    "weights-rounded": Diagnosis("warning", 9, "a message weight between or beyond 0 and 1 does not scale the loss: {detail}", "use weights 0 and 1"),
    "no-chat-markup": Diagnosis("note", 9, "plain strings for a model with a chat template: chat will use markup that training never showed", "write prompt and completion as messages"),
    "joint-blank": Diagnosis("warning", 9, "prompt and completion meet {detail}", "end the prompt without a blank and begin the completion with one"),
    "looks-special": Diagnosis("warning", 9, "{detail} looks like markup but is ordinary text for this tokenizer", "take it out: the chat template adds the model's own markup"),
    "duplicate-row": Diagnosis("warning", 9, "a copy of an earlier row: {detail}", "keep one of them"),
    "prompt-answered-twice": Diagnosis("warning", 9, "the same prompt, but for case and blanks, has different answers ({detail})", "keep the better one, unless variety is meant"),
    "near-prompt": Diagnosis("warning", 9, "nearly the same prompt, word for word, has different answers ({detail})", "keep the better one, unless the difference matters"),
    "eval-leak": Diagnosis("error", 9, "the prompt is in the evaluation rows too", "take the rows out of one side"),
    "length-outlier": Diagnosis("note", 9, "far longer than the rest: {detail}", "look at these rows; they decide memory and padding"),
    "looks-missing": Diagnosis("warning", 9, "a text is only {detail}, as tables write a missing value", "fill it in, or take the row out"),
    "mojibake": Diagnosis("warning", 9, "text was decoded with the wrong character set: {detail}", "write the file again from its source as UTF-8"),
    "replacement-character": Diagnosis("warning", 9, "U+FFFD stands where a character was lost: {detail}", "write the file again from its source"),
    "control-character": Diagnosis("warning", 9, "a control character in the text: {detail}", "take it out"),
    "invisible-character": Diagnosis("note", 9, "characters that cannot be seen: {detail}", "take them out unless the language needs them"),
    "normalised": Diagnosis("note", 9, "text that is not in composed form, and tokenises unlike it: {detail}", "normalise the data to NFC"),
    "mixed-formats": Diagnosis("note", 9, "another shape than most rows of the file: {detail}", "check these rows: a stray format is often a mistake"),
    # The set or the model as a whole.
    "pad-is-eos": Diagnosis("note", 9, "the pad token is the end token; harmless here, since labels are set before padding, but collators that mask by id would drop every end token", "give the tokenizer a pad token of its own"),
    "no-pad": Diagnosis("note", 9, "the tokenizer has no pad token; the end token is used", "set pad_token in the tokenizer"),
    "pad-outside-vocabulary": Diagnosis("error", 9, "the pad token {detail} has no embedding row", "choose a pad token inside the vocabulary"),
    "no-markers": Diagnosis("note", 9, "the template has no generation markers; the spans were found in the rendering itself, which is unchanged", "nothing to do"),
    "default-system": Diagnosis("note", 9, "the template adds a system text of its own: {detail}", "give a system message to choose it yourself"),
    "date-in-template": Diagnosis("note", 9, "the template prints today's date: renderings differ by day ({detail})", "set the date through chat_template_kwargs where the template allows it"),
    "chat-ids-differ": Diagnosis("error", 9, "apply_chat_template of this tokenizer gives other ids than its own text encoded, so chat sees what training never showed: {detail}", "load the class the model was trained with, or name its files in data.template"),
    "markup-in-pieces": Diagnosis("note", 9, "the template's own markup {detail} is no single token here: it is split into pieces that ordinary text has too", "use the tokenizer that the template was written for"),
    "tokenizer-files-disagree": Diagnosis("error", 9, "AutoTokenizer and tokenizer.json of the same folder give other ids for {detail}", "put the model's config.json beside them, or load the class the model was trained with"),
    "packs-see-each-other": Diagnosis("warning", 9, "wrapped packing lets rows see each other", 'use data.packing = "bfd"'),
}  # fmt: skip
