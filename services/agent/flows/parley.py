"""PURE. The default agent: a short useful talk that needs no key and no network.

Phrases are what the recogniser listens for, so each is two words or more where it can be; texts
are written for the ear.
"""

from __future__ import annotations

from services.agent.providers.flow import Flow, Intent, NumberRule, Step

_ALWAYS = (
    Intent(
        "goodbye",
        (
            "goodbye",
            "bye bye",
            "thank you goodbye",
            "thanks goodbye",
            "hang up",
            "hang up please",
            "that is all",
            "that's all thank you",
            "no thank you goodbye",
        ),
        say=("Thank you for calling. Goodbye!",),
        ends=True,
    ),
    Intent(
        "repeat",
        (
            "say that again",
            "repeat that",
            "please repeat",
            "can you repeat that",
            "pardon me",
            "what did you say",
        ),
        repeats=True,
    ),
    Intent(
        "help",
        ("help", "help me", "i need help", "what can i say", "what are my options"),
        say=(
            "You can ask what I am, what I can do, or how this works. "
            "You can leave a number. Or say goodbye.",
        ),
    ),
)

_QUESTIONS = (
    Intent(
        "abilities",
        (
            "what can you do",
            "what do you do",
            "what can you do for me",
            "how can you help me",
            "tell me what you can do",
        ),
        say=(
            "I answer questions about this platform, and I can take down a number for you. "
            "Ask me how it works, or say, take a number.",
            "I answer questions and I take numbers. Try, how does this work.",
        ),
    ),
    Intent(
        "identity",
        (
            "who are you",
            "what are you",
            "are you a robot",
            "are you human",
            "am i talking to a machine",
            "what is your name",
            "what is parley",
            "tell me about yourself",
        ),
        say=(
            "I am Parley, a voice agent. I am a computer program, running on your own machine, "
            "with no key and no account.",
        ),
    ),
    Intent(
        "working",
        (
            "how does this work",
            "how does it work",
            "how do you work",
            "explain how this works",
            "tell me how it works",
        ),
        say=(
            "Your call reaches a gateway. The gateway gives it to one of many workers. "
            "The worker hears you, thinks of an answer, and speaks. "
            "And when you speak, it stops at once.",
        ),
    ),
    Intent(
        "interruption",
        (
            "can i interrupt you",
            "what if i interrupt you",
            "what happens when i interrupt you",
            "do you stop when i talk",
        ),
        say=(
            "Please do. Start talking while I speak, and I will be silent in a blink. "
            "If it was only a cough, I go on where I stopped.",
        ),
    ),
    Intent(
        "price",
        (
            "is it free",
            "is this free",
            "what does it cost",
            "how much does it cost",
            "how much is it",
        ),
        say=("It is free. The source is open, under the Apache license.",),
    ),
    Intent(
        "scale",
        (
            "how many calls can you take",
            "how many calls",
            "how many people can call",
            "can you take many calls",
        ),
        say=("One worker takes dozens of calls. Start more workers, and you have hundreds.",),
    ),
    Intent(
        "privacy",
        (
            "is this call recorded",
            "are you recording me",
            "do you record calls",
            "is it private",
        ),
        say=(
            "Nothing leaves this machine. What we say is written to the call's record, "
            "and forgotten after a week.",
        ),
    ),
    Intent(
        "person",
        (
            "talk to a person",
            "speak to a person",
            "speak to somebody",
            "i want to talk to a human",
            "operator please",
            "operator",
        ),
        say=(
            "There is nobody here but me just now. "
            "Leave your number, and somebody can call you back. Say, take a number.",
        ),
    ),
    Intent(
        "greeting",
        ("hello", "hello there", "good morning", "good afternoon", "good evening", "hi there"),
        say=("Hello! What can I do for you?", "Hello again. Ask me what I can do."),
    ),
    Intent(
        "thanks",
        ("thank you", "thanks", "thank you very much", "great thank you"),
        say=("You are welcome. Is there anything else?",),
    ),
    Intent(
        "number",
        (
            "take a number",
            "take my number",
            "leave a number",
            "leave my number",
            "call me back",
            "i want to leave my number",
            "please call me back",
            "press 1",
        ),
        next="number",
    ),
)

_YES = (
    "yes",
    "yes please",
    "yes it is",
    "that is right",
    "that's right",
    "correct",
    "yes that is correct",
    "press 1",
)
_NO = ("no", "no it is not", "no that is wrong", "that is wrong", "that's not right", "press 2")

PARLEY = Flow(
    greeting="Hello, this is Parley. Ask me what I can do, or leave me a number.",
    welcome_back="Sorry, I am back with you. Where were we?",
    first="main",
    steps={
        "main": Step("main", intents=_QUESTIONS),
        "number": Step(
            "number",
            prompts=(
                "Tell me the number, digit by digit, or press the keys and then hash.",
                "Once more, please. Say or press the digits.",
            ),
            intents=(
                Intent(
                    "never_mind",
                    ("never mind", "go back", "cancel", "forget it"),
                    say=("All right. What else can I do?",),
                    next="main",
                ),
            ),
            number=NumberRule(
                shortest=4,
                longest=15,
                next="confirm",
                go_on="Go on.",
                too_short="That was too short for a number. Please try again.",
            ),
            no_match=(
                "I only got some of that. Please say one digit after the other.",
                "Sorry, not yet. You can also press the keys, and then hash.",
            ),
            no_input=(
                "Please say or press the digits of your number.",
                "Are you still there? Say the digits, or say, never mind.",
            ),
            silence_s=5.0,
        ),
        "confirm": Step(
            "confirm",
            prompts=("I have {number}. Is that right?",),
            intents=(
                Intent(
                    "yes",
                    _YES,
                    say=("Thank you, I have noted it. Is there anything else?",),
                    next="main",
                ),
                Intent("no", _NO, say=("Sorry about that.",), next="number"),
            ),
            no_match=("Please say yes or no. I have {number}.",),
            no_input=("Is the number {number} right? Say yes or no.",),
        ),
    },
    always=_ALWAYS,
    no_match=(
        "Sorry, I did not get that. You can ask, what can you do, or, how does this work.",
        "I am still learning. Try, who are you, or, take a number.",
        "Sorry again. Say help to hear what I understand, or say goodbye.",
    ),
    no_input=(
        "Are you there? Ask me what I can do.",
        "I can't hear you. Say help, or say goodbye.",
    ),
    farewell="I can't hear you, so I will hang up now. Goodbye!",
)
