"""PocketSphinx: one utterance in, the expected phrase that was said out, or a refusal.

An utterance is decoded whole, when it is over: cepstral means taken from all of it are what makes
the wide-band model hear a phone line (right phrases of 87 by flite voices: 25 with the model's own
start values, 67 with a good fixed start, 83 with the utterance's own means). That costs a tenth
of the utterance's length; `SphinxTranscriber` hides it in the silence that ends a turn.

A grammar turns whatever it hears into one of its phrases. So a second decoder, a free loop over
phones, hears the same. Two things then speak against a phrase: that free phones explain the sound
of its words much better than the words do, and that they find speech where the phrase has none.
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

from services.agent.providers.offline.grammar import (
    DIGIT_WORDS,
    Grammar,
    build_grammar,
    dictionary_word,
    guess_phones,
    plain_text,
    with_line_variants,
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
_NOT_WORDS = frozenset(("<sil>", "<s>", "</s>", "(NULL)", "[NOISE]", "[SPEECH]"))
_NOT_PHONES = frozenset(("SIL", "+NSN+", "+SPN+"))

# Logistic regression on 1500 utterances (8 synthetic voices, phrases of a menu of 150 and others;
# off-script prompts of one human voice; clean line, 25 and 15 dB): keeps 95 % of what was
# recognised rightly, and lets through 14 % of what was never in the grammar (23 % of the human).
_WEIGHT_OF_RATIO = 0.18
_WEIGHT_OF_MISSED = 11.2
_BIAS = 5.96
_LEAST_VOICED = 0.4  # of a phrase's frames; right ones have 0.52 and more, plain noise has none


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was heard. `text` is a guess when it is not understood."""

    text: str
    is_understood: bool
    confidence: float


_NOTHING = Recognition("", is_understood=False, confidence=0.0)


class SphinxDecoder:
    """A pair of decoders, about 50 MB with the dictionary; not thread safe, made in 0.3 s."""

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
        hypothesis = _decode(self._grammars, audio)
        text = plain_text(hypothesis or "")
        if not text:
            return _NOTHING
        _decode(self._phones, audio)
        confidence = _confidence(_words(self._grammars), self._phones)
        return Recognition(text, confidence >= 0.5, confidence)

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
            if spoken in DIGIT_WORDS:
                # Only there: whole phrases are as well understood without, and less often found
                # in what is not one of them (of 140 off-script sentences 23 instead of 33).
                phones = with_line_variants(phones)
            for number, variant in enumerate(phones, start=1):
                spelled = word if number == 1 else f"{word}({number})"
                if spelled not in self._known_words:
                    self._grammars.add_word(spelled, variant, False)
                    self._known_words.add(spelled)


def _decode(decoder: pocketsphinx.Decoder, audio: bytes) -> str | None:
    decoder.start_utt()
    decoder.process_raw(audio, full_utt=True)
    decoder.end_utt()
    best = decoder.hyp()
    return None if best is None else str(best.hypstr)


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of the hypothesis: its frames (of 10 ms, end not included) and log likelihood."""

    start: int
    end: int
    log_likelihood: float


def _words(decoder: pocketsphinx.Decoder) -> list[_Word]:
    return [
        _Word(part.start_frame, part.end_frame + 1, math.log(part.ascore))
        for part in decoder.seg()
        if part.word not in _NOT_WORDS
    ]


def _confidence(words: Sequence[_Word], phones: pocketsphinx.Decoder) -> float:
    """Weigh a phrase against free phones on the same audio; 0.5 is where it is believed."""
    frames = phones.n_frames() + 2
    per_frame = np.zeros(frames)
    is_speech = np.zeros(frames, bool)
    for phone in phones.seg():
        span = slice(phone.start_frame, phone.end_frame + 1)
        size = phone.end_frame + 1 - phone.start_frame
        per_frame[span] = (math.log(phone.ascore) + math.log(phone.lscore)) / size
        is_speech[span] = phone.word not in _NOT_PHONES
    log_ratio, covered, voiced = 0.0, 0, 0
    missed = is_speech.copy()
    for word in words:
        log_ratio += word.log_likelihood - float(per_frame[word.start : word.end].sum())
        covered += word.end - word.start
        voiced += int(is_speech[word.start : word.end].sum())
        missed[word.start : word.end] = False
    if voiced < _LEAST_VOICED * covered:
        return 0.0
    evidence = (
        _WEIGHT_OF_RATIO * 1000 * log_ratio / math.sqrt(max(1, covered))
        - _WEIGHT_OF_MISSED * int(missed.sum()) / max(1, int(is_speech.sum()))
        + _BIAS
    )
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, evidence))))


def _read_lexicon(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Read "word phones" lines; "word(2)" is another way to say it."""
    lexicon: dict[str, tuple[str, ...]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, _, phones = line.strip().partition(" ")
            word = word.partition("(")[0]
            lexicon[word] = (*lexicon.get(word, ()), phones)
    return lexicon
