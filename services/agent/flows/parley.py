"""PURE. The default agent: presents the platform, answers questions, takes a number.

Texts are written for the ear: short sentences, nothing that a caller must remember. Phrases are
written for the recogniser: three words or more where people allow it, because short words are
easily taken for one another.
"""

from __future__ import annotations

from services.agent.providers.offline.flow import (
    ClearNumber,
    Digits,
    Flow,
    Goto,
    HangUp,
    Intent,
    Repeat,
    Step,
    ToOperator,
)

_QUESTIONS = (
    Intent(
        "who",
        (
            "who are you",
            "what are you",
            "what is this",
            "who is this",
            "who am i talking to",
            "what is parley",
            "what is your name",
            "tell me about yourself",
        ),
        (
            "I am Parley, a voice agent on the phone. "
            "I am a program that listens, thinks and speaks, all on one machine.",
        ),
    ),
    Intent(
        "what",
        (
            "what can you do",
            "what do you do",
            "what can you do for me",
            "what can i ask",
            "what can i say",
            "what can i ask you",
            "how can you help me",
            "tell me what you can do",
        ),
        (
            "I can tell you how I work, what I cost, and how many calls I take. "
            "I can also take down a phone number and read it back. "
            "And you can interrupt me at any time.",
        ),
    ),
    Intent(
        "how",
        (
            "how does this work",
            "how does it work",
            "how do you work",
            "how does that work",
            "how do you understand me",
            "explain how it works",
        ),
        (
            "Your voice comes in by telephone, fifty small pieces a second. "
            "I find where you speak, recognise the words, choose an answer, and say it. "
            "All of that happens here, without any other service.",
        ),
    ),
    Intent(
        "cost",
        (
            "is it free",
            "is this free",
            "how much does it cost",
            "how much is it",
            "what does it cost",
            "what is the price",
            "do i have to pay",
        ),
        (
            "Yes, Parley is free. It is open source, and you run it on your own machines. "
            "Only the telephone line has its price.",
        ),
    ),
    Intent(
        "maker",
        (
            "who made you",
            "who built you",
            "who created you",
            "who wrote you",
            "where do you come from",
            "are you open source",
        ),
        (
            "I was made by the Parley project. "
            "It is open source, so everybody can read how I work, and change it.",
        ),
    ),
    Intent(
        "calls",
        (
            "how many calls can you take",
            "how many calls can you handle",
            "how many callers can you handle",
            "how many people can call",
            "how many calls at once",
            "can you take many calls",
        ),
        (
            "As many as you have machines for. "
            "Each worker holds its share of calls, and you can add workers while callers talk.",
        ),
    ),
    Intent(
        "interrupt",
        (
            "what happens when i interrupt you",
            "what happens if i interrupt you",
            "can i interrupt you",
            "what if i interrupt you",
            "may i interrupt you",
        ),
        (
            "Then I stop at once, and listen. "
            "I also remember which of my words you really heard. Go on, try it.",
        ),
    ),
    Intent(
        "human",
        (
            "are you human",
            "are you a human",
            "are you a robot",
            "are you a machine",
            "are you real",
            "are you a computer",
        ),
        ("I am a computer program. But I try to be good company.",),
    ),
    Intent(
        "languages",
        (
            "what languages do you speak",
            "which languages do you speak",
            "do you speak hindi",
            "do you speak other languages",
            "can you speak another language",
        ),
        ("For now I understand English, one sentence at a time. I am still learning.",),
    ),
    Intent(
        "offline",
        (
            "do you need the internet",
            "are you in the cloud",
            "where are you",
            "where do you run",
            "do you record this call",
            "is this call recorded",
        ),
        (
            "I run on my owner's machine, not in somebody's cloud. "
            "What you say stays with the people who run me.",
        ),
    ),
    Intent(
        "vobiz",
        ("what is vobiz", "who is vobiz", "who carries this call", "which network is this"),
        ("Vobiz is the telephone network that carries this call to me.",),
    ),
    Intent(
        "speed",
        ("how fast are you", "how quick are you", "why are you so fast", "are you fast"),
        ("Quick enough, I hope. I stop within a blink when you speak, and answer soon after.",),
    ),
    Intent(
        "joke",
        ("tell me a joke", "do you know a joke", "say something funny", "make me laugh"),
        (
            "Why did the telephone wear glasses? Because it had lost its contacts.",
            "I would tell you a joke about silence. But nobody would hear it.",
        ),
    ),
    Intent(
        "wellbeing",
        ("how are you", "how are you doing", "how are you today", "how do you do"),
        ("I am very well, thank you. What would you like to know?",),
    ),
    Intent(
        "hello",
        ("hello", "hello there", "hi there", "good morning", "good afternoon", "good evening"),
        ("Hello! Ask me what I can do.",),
    ),
    Intent(
        "thanks",
        ("thank you", "thanks a lot", "thank you very much", "that is great", "very good"),
        ("You are welcome. Is there anything else?",),
    ),
    Intent(
        "number",
        (
            "take my number",
            "take a number",
            "take my phone number",
            "take down my number",
            "i want to leave my number",
            "i want to leave a number",
            "leave a number",
            "leave my number",
            "can you call me back",
            "call me back",
            "call me back please",
        ),
        ("Gladly.",),
        then=ClearNumber("number"),
    ),
    Intent(
        "readback",
        ("what is my number", "read my number back", "which number do you have"),
        ("You left the number {spoken_digits}.",),
        ("You have not left a number yet. Say: take my number.",),
    ),
    Intent(
        "no",
        ("no", "no thank you", "nothing", "nothing else", "not now"),
        ("All right. If you are done, just say goodbye.",),
    ),
    Intent("yes", ("yes", "yes please", "sure"), ("Then ask me, or say help.",)),
)

_COMMON = (
    Intent(
        "help",
        ("help", "help me", "i need help", "what are my options", "what now"),
        (
            "You can ask: what can you do? How does this work? Is it free? "
            "Or say: take my number. To end the call, say goodbye.",
        ),
    ),
    Intent(
        "repeat",
        (
            "repeat",
            "repeat that",
            "repeat that please",
            "say that again",
            "say it again",
            "could you repeat that",
            "can you repeat that",
            "again please",
            "pardon",
            "pardon me",
            "what did you say",
        ),
        then=Repeat(),
        key="*",
    ),
    Intent(
        "operator",
        (
            "operator",
            "agent",
            "speak to an operator",
            "talk to an operator",
            "talk to a human",
            "speak to a human",
            "can i speak to a human",
            "i want to talk to a person",
            "i want to speak to a person",
            "transfer me",
            "connect me to somebody",
        ),
        ("I am sorry, there is nobody I could connect you to. But I can take your number.",),
        then=ToOperator(("One moment. I will connect you.",)),
        key="0",
    ),
    Intent(
        "goodbye",
        (
            "goodbye",
            "bye",
            "bye bye",
            "good bye now",
            "thank you goodbye",
            "thanks bye",
            "okay goodbye",
            "hang up",
            "end the call",
            "stop the call",
            "that will be all",
            "that is all",
            "that's all",
            "i am done",
        ),
        ("Thank you for calling. Goodbye!", "It was good to talk to you. Goodbye!"),
        then=HangUp(),
    ),
)

_CANCEL = Intent(
    "cancel",
    ("cancel", "never mind", "forget it", "go back", "main menu", "something else"),
    ("All right, no number then.",),
    then=ClearNumber("menu"),
)

_MENU = Step(
    "menu",
    ("What else can I do for you?", "Is there anything else?"),
    _QUESTIONS,
    no_input=(
        "Are you still there? You can ask: what can you do?",
        "I cannot hear you. Say help, or ask how this works.",
    ),
    no_match=(
        "Sorry, I did not understand that. You can ask: what can you do?",
        "I did not get that either. Try: how does this work, or: take my number.",
        "I only know a few things. Say help to hear them, or goodbye to end the call.",
    ),
)

_NUMBER = Step(
    "number",
    (
        "Please say the number, digit by digit, or use your keypad. "
        "On the keypad, end with the hash key.",
    ),
    (_CANCEL,),
    no_input=(
        "Please say the number now, or press the keys.",
        "I am listening. Say the digits one by one, or say cancel.",
    ),
    no_match=(
        "Sorry, I did not get those digits. Please say them one by one.",
        "It may be easier with the keypad. Press the digits, and then hash.",
    ),
    digits=Digits(
        then="confirm",
        least=7,
        enough=10,
        most=15,
        more=("Go on.", "Yes?"),
        too_few=("That seems too short for a number. Please go on, or press star to start again.",),
    ),
)

_CONFIRM = Step(
    "confirm",
    ("I have {spoken_digits}. Is that right?",),
    (
        Intent(
            "right",
            (
                "yes",
                "yes it is",
                "yes that is right",
                "that is right",
                "that's right",
                "yes that's right",
                "yes correct",
                "correct",
                "that is correct",
                "right",
                "yeah",
                "yes please",
            ),
            ("Thank you. I have noted your number.",),
            then=Goto("menu"),
            key="1",
        ),
        Intent(
            "wrong",
            (
                "no",
                "no it is not",
                "no that is wrong",
                "that is wrong",
                "that's wrong",
                "wrong",
                "not correct",
                "no it's wrong",
                "try again",
                "start again",
                "start over",
            ),
            ("I am sorry. Let us try again.",),
            then=ClearNumber("number"),
            key="2",
        ),
        _CANCEL,
    ),
    no_input=(
        "I have {spoken_digits}. Please say yes or no.",
        "Is the number right? Say yes or no, or press one for yes and two for no.",
    ),
    no_match=(
        "Please say yes if the number is right, or no if it is wrong.",
        "You can press one for yes, or two for no.",
    ),
)

PARLEY = Flow(
    name="parley-1",
    greeting=(
        "Hello, this is Parley, your voice agent. "
        "Ask me what I can do, or say: take my number. What would you like?",
    ),
    welcome_back=("Sorry, I was away for a moment.",),
    steps=(_MENU, _NUMBER, _CONFIRM),
    common=_COMMON,
    keypad="number",
    farewell=("I still cannot hear you, so I will hang up now. Goodbye!",),
)
