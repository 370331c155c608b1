"""One provider after another: time limits, retries, circuit breakers, fallbacks.

    limits.py       PURE  how long, how often
    breaker.py      PURE  whether a provider is to be asked yet
    seam.py         PURE  where one model's text ends and another's goes on
    remainder.py    PURE  what of a sentence a voice had not spoken when it broke off
    utterances.py   PURE  what the caller said that has no text yet
    link.py         a chain's links, their breakers, what is measured
    asking.py       one provider asked in time, and again where that is safe
    model.py, synthesiser.py, transcriber.py, brain.py, speech_brain.py: the chains themselves

What a caller notices of a fault:

    a model fails before a word      a moment more of waiting: the next model answers
    a model breaks off               nothing: the next one goes on from where it stopped
    a model breaks off after a tool  what the brain makes of it: nothing is done twice
    a voice fails before a sound     another voice, a moment later
    a voice breaks off               another voice says the rest of the sentence
    a recogniser dies or is late     a moment more of waiting: the next one hears it all again
    all of a chain fail              the apology that was made in advance, then the agent's rule
"""
