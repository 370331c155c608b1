"""PURE. Texts as cloud voices want them: something to pronounce, no longer than they take."""

from __future__ import annotations

from collections.abc import Iterator

from services.agent.turn.sentences import split_sentences


def is_pronounceable(text: str) -> bool:
    """Whether there is a letter or a digit in it; a voice would be paid for nothing else."""
    return any(char.isalnum() for char in text)


def split_for_voice(text: str, most_chars: int) -> Iterator[str]:
    """Yield pieces of whole sentences, as long as may be but no longer than `most_chars`."""
    piece = ""
    for sentence in split_sentences(text):
        if piece and len(piece) + 1 + len(sentence) > most_chars:
            if is_pronounceable(piece):
                yield piece
            piece = ""
        piece = f"{piece} {sentence}" if piece else sentence
    if is_pronounceable(piece):
        yield piece
