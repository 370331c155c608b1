"""PocketSphinx: one utterance in, the expected phrase that was said out, or a refusal.

An utterance is decoded whole, when it is over: cepstral means taken from all of it are what makes
the wide-band model hear a phone line (right phrases of 87 by flite voices: 25 with the model's own
start values, 67 with a good fixed start, 83 with the utterance's own means). That costs a tenth
of the utterance's length; `SphinxTranscriber` hides it in the silence that ends a turn.

A grammar turns whatever it hears into one of its phrases. So a second decoder, a free loop over
phones, hears the same: how much better it explains the speech says whether a phrase was really
said.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from services.agent.providers.grammar import (
    Grammar,
    build_grammar,
    dictionary_word,
    guess_phones,
    plain_text,
)
from shared.audio.resample import Resampler
from shared.speech.level import active_level_dbfs, apply_gain

_FIRST_WORDS = Path(__file__).with_name("sphinx_words.dict")  # a decoder can't begin with none
_PHONE_RATE_HZ = 8000
_MODEL_RATE_HZ = 16000
_LEVEL_DBFS = -22.0
_MOST_GAIN_DB = 24.0
_DITHER = 32768 * 10 ** (-56 / 20)
_GRAMMARS_KEPT = 64
_SILENCE_WORDS = frozenset(("<sil>", "<s>", "</s>", "(NULL)", "SIL", "[NOISE]", "[SPEECH]"))

_ACCEPT_AT = -1.6
_CONFIDENCE_SLOPE = 2.5


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was heard. `score` is the evidence for the phrase, 0 being as good as free phones."""

    text: str
    is_understood: bool
    confidence: float
    score: float


_NOTHING = Recognition("", is_understood=False, confidence=0.0, score=-100.0)


class SphinxDecoder:
    """A pair of decoders, about 60 MB; not thread safe. Takes 0.3 s to make."""

    def __init__(self) -> None:
        model = Path(pocketsphinx.get_model_path()) / "en-us"
        self._lexicon = _read_lexicon(model / "cmudict-en-us.dict")
        common = {
            "hmm": str(model / "en-us"),
            "dict": str(_FIRST_WORDS),
            "lm": None,
            "bestpath": False,
            "cmn": "batch",
            "loglevel": "FATAL",
        }
        self._grammars = pocketsphinx.Decoder(
            pocketsphinx.Config(**common, beam=1e-64, pbeam=1e-64, wbeam=1e-48, wip=0.2)
        )
        self._phones = pocketsphinx.Decoder(
            pocketsphinx.Config(
                **common,
                allphone=str(model / "en-us-phone.lm.bin"),
                lw=2.0,
                pip=0.3,
                beam=1e-20,
                pbeam=1e-20,
            )
        )
        self._known_words = {"oh"}
        self._loaded: OrderedDict[Grammar, str] = OrderedDict()
        self._next_name = 0
        self._noise = np.random.default_rng(1)

    def recognise(
        self, pcm: NDArray[np.int16], phrases: Sequence[str], *, digits: bool
    ) -> Recognition:
        """Recognise one utterance.

        Args:
            pcm: int16 mono 8 kHz, with some silence before and after the speech.
            phrases: what may be said.
            digits: whether digits may be said.
        """
        grammar = build_grammar(phrases, digits=digits)
        if grammar is None or not len(pcm):
            return _NOTHING
        audio = self._prepare(pcm)
        self._grammars.activate_search(self._load(grammar))
        said = _decode(self._grammars, audio)
        if said is None:
            return _NOTHING
        heard = _decode(self._phones, audio)
        score = said.log_score - (heard.log_score if heard is not None else 0.0)
        score = 1000 * score / said.frames
        text = plain_text(said.text)
        is_understood = bool(text) and score >= _ACCEPT_AT
        confidence = 1 / (1 + math.exp(-_CONFIDENCE_SLOPE * (score - _ACCEPT_AT)))
        return Recognition(text, is_understood, confidence, score)

    def _prepare(self, pcm: NDArray[np.int16]) -> bytes:
        """To the model's rate at a steady level, with a trace of noise.

        Plain interpolation on purpose: its images above 4 kHz and the noise fill a band that a
        phone line leaves empty and the model was taught to find sound in.
        """
        level = active_level_dbfs(pcm, _PHONE_RATE_HZ)
        if not math.isinf(level):
            pcm = apply_gain(pcm, 10 ** (min(_LEVEL_DBFS - level, _MOST_GAIN_DB) / 20))
        wide = Resampler(_PHONE_RATE_HZ, _MODEL_RATE_HZ, "linear").push(pcm, last=True)
        noisy = wide + self._noise.standard_normal(len(wide)) * _DITHER
        return np.clip(np.rint(noisy), -32768, 32767).astype(np.int16).tobytes()

    def _load(self, grammar: Grammar) -> str:
        """Return the name of the decoder's search for this grammar, building it if need be."""
        name = self._loaded.pop(grammar, None)
        if name is None:
            self._add_words(grammar.words)
            name = f"grammar{self._next_name}"
            self._next_name += 1
            self._grammars.add_jsgf_string(name, grammar.jsgf)
        self._loaded[grammar] = name
        if len(self._loaded) > _GRAMMARS_KEPT:
            _, oldest = self._loaded.popitem(last=False)
            self._grammars.remove_search(oldest)
        return name

    def _add_words(self, words: Iterable[str]) -> None:
        for word in sorted(set(words) - self._known_words):
            spoken = dictionary_word(word)
            phones = self._lexicon.get(spoken) or (guess_phones(spoken),)
            for number, variant in enumerate(phones, start=1):
                spelled = word if number == 1 else f"{word}({number})"
                if spelled not in self._known_words:
                    self._grammars.add_word(spelled, variant, False)
                    self._known_words.add(spelled)


@dataclass(frozen=True, slots=True)
class _Decoded:
    text: str
    log_score: float
    frames: int


def _decode(decoder: pocketsphinx.Decoder, audio: bytes) -> _Decoded | None:
    decoder.start_utt()
    decoder.process_raw(audio, full_utt=True)
    decoder.end_utt()
    best = decoder.hyp()
    if best is None:
        return None
    return _Decoded(best.hypstr, math.log(max(best.score, 1e-300)), max(1, decoder.n_frames()))


def _read_lexicon(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Read "word phones" lines; "word(2)" is another way to say it."""
    lexicon: dict[str, tuple[str, ...]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, _, phones = line.strip().partition(" ")
            word = word.partition("(")[0]
            lexicon[word] = (*lexicon.get(word, ()), phones)
    return lexicon
