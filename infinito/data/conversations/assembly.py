"""Builds conversations and their batches, as `data=chat` asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerFast

from infinito.config import ChatDataConf, RunConf, SkillsConf
from infinito.data.assembly import build_tokenizer_spec
from infinito.data.conversations.bundled import HELD_OUT, TRAINING
from infinito.data.conversations.conversation_set import (
    TextConversations,
    find_block_size,
    read_conversations,
    render_conversations,
    require_usable,
    split_by_prompt,
    tokenize_conversations,
)
from infinito.data.conversations.datamodule import ConversationDataModule
from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.data.conversations.rows.faults import refuse_bad_rows
from infinito.data.conversations.rows.parsing import CHAT_ROWS
from infinito.data.conversations.skills.generator import draw_items, write_conversations
from infinito.data.encoding import count_ids
from infinito.data.tokenizers.bpe import SMALLEST_VOCAB, BpeTokenizer
from infinito.seeding import child_seed

BUNDLED = "the conversations that ship with infinito"


def build_conversation_data(
    conf: RunConf,
    tokenizer: PreTrainedTokenizerFast | None = None,
    vocab: int | None = None,
) -> ConversationDataModule:
    """Return batches of the configured conversations.

    Args:
        conf: The configuration.
        tokenizer: Taken instead of the configured one.
        vocab: Number of ids that the model has; None for those of the tokenizer.

    Raises:
        DataError: a file is missing, unreadable or empty, or holds rows that cannot be used.
    """
    data = require_conversations(conf)
    texts = read_texts(conf)
    tokenizer = tokenizer or build_chat_tokenizer(conf, texts[0])
    encode = build_conversation_tokenizer(conf, tokenizer, vocab or count_ids(tokenizer))
    sets = [tokenize_conversations(each, encode) for each in texts]
    block_size = find_block_size(*sets)
    training, held_out = (
        require_usable(each, getattr(data, "on_bad_row", "error"), block_size) for each in sets
    )
    if encode.template_text is not None:
        tokenizer.chat_template = encode.template_text
    return ConversationDataModule(
        training,
        held_out,
        encode,
        batch_size=data.batch_size,
        eval_batch_size=data.eval_batch_size,
        seed=child_seed(conf.seed, "batches"),
        bucket=data.bucket,
    )


def read_texts(conf: RunConf) -> tuple[TextConversations, TextConversations]:
    """Return training and held-out conversations as text.

    Raises:
        DataError: a file is missing, unreadable or empty, or too small to be split.
    """
    data = require_conversations(conf)
    if isinstance(data, SkillsConf):
        return generate_texts(data)
    assert isinstance(data, ChatDataConf)
    if data.path is None:
        return read_bundled()
    whole = read_conversations(data.path, data.subset, data.max_rows, data.revision)
    if data.held_out_path is not None:
        limit = data.max_rows
        part, revision, key = data.held_out_subset, data.held_out_revision, "data.held_out_path"
        return whole, read_conversations(data.held_out_path, part, limit, revision, key)
    if not whole.rows:
        names = CHAT_ROWS.name, CHAT_ROWS.keys
        refuse_bad_rows(whole.bad, data.on_bad_row, whole.source, 0, *names)
    return split_by_prompt(whole, data.held_out_fraction)


def read_bundled() -> tuple[TextConversations, TextConversations]:
    """Return the conversations that ship with infinito, training and held-out."""
    training, held_out = (read_conversations(str(each)) for each in (TRAINING, HELD_OUT))
    return (
        replace(training, source=f"{BUNDLED}, training"),
        replace(held_out, source=f"{BUNDLED}, held out"),
    )


def generate_texts(data: SkillsConf) -> tuple[TextConversations, TextConversations]:
    """Return the items of `data=skills` as conversations, training and held-out.

    Bundled conversations come after the training items.
    """
    found = []
    for count, held_out in ((data.items, False), (data.held_out_items, True)):
        items = draw_items(data.skills, count, data.item_seed, held_out=held_out)
        side = "held out" if held_out else "training"
        found.append(write_conversations(items, f"{len(data.skills)} skills, {side}"))
    training, held_out_items = found
    if data.with_bundled:
        bundled = read_bundled()[0]
        later = [replace(each, row=each.row + len(training.rows)) for each in bundled.rows]
        source = f"{training.source}, and {BUNDLED}"
        training = replace(training, rows=training.rows + later, source=source)
    return training, held_out_items


def build_conversation_tokenizer(
    conf: RunConf, tokenizer: PreTrainedTokenizerFast, vocab: int | None = None
) -> ConversationTokenizer:
    """Return what turns conversations into token ids, as `data` says.

    Args:
        conf: The configuration.
        tokenizer: The model's.
        vocab: Number of ids that the model has.
    """
    data = require_conversations(conf)
    return ConversationTokenizer(
        tokenizer,
        window=data.block_size,
        chat=getattr(data, "chat", True),
        chat_template=data.chat_template,
        vocab=vocab,
    )


def build_chat_tokenizer(conf: RunConf, texts: TextConversations) -> PreTrainedTokenizerFast:
    """Return the tokenizer that `tokenizer` names; one that is trained reads all the texts."""
    spec = build_tokenizer_spec(conf)
    pieces: Sequence[str] = []
    if spec.is_trained:
        of_bytes = BpeTokenizer(SMALLEST_VOCAB).build([], separates_documents=True)
        render = build_conversation_tokenizer(conf, of_bytes)
        end = str(of_bytes.eos_token)
        pieces = [each.replace(end, "") for each in render_conversations(texts, render)]
    return spec.build(pieces, separates_documents=True)


def require_conversations(conf: RunConf) -> ChatDataConf | SkillsConf:
    """Return the configuration of the conversations."""
    assert isinstance(conf.data, ChatDataConf | SkillsConf), "tasks read other data elsewhere"
    return conf.data
