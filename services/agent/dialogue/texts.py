"""PURE. The few sentences a dialogue says by itself, in the languages we know them in.

What an agent's file states for a language comes before these; a language we do not know them in
gets the English ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """What one language needs.

    Attributes:
        not_caught: the caller spoke, and nothing was understood; each in turn.
        again: the model answered nothing.
        resumed: the way back into a talk that another worker began.
        transferring: before a transfer that the model said nothing about.
        transfer_failed: nobody has answered there, and the caller is back.
    """

    not_caught: tuple[str, ...]
    again: str
    resumed: str
    transferring: str
    transfer_failed: str


PHRASES = {
    "en": Phrases(
        (
            "Sorry, I did not catch that.",
            "I am sorry, I could not hear that well. Could you say it again?",
            "I still did not understand. Could you say it in other words?",
        ),
        "Sorry, could you say that again?",
        "Sorry, where were we?",
        "One moment, I am putting you through.",
        "I am sorry, I could not connect you. What else can I do for you?",
    ),
    "hi": Phrases(
        ("माफ़ कीजिए, मैं समझ नहीं पाई।", "आवाज़ साफ़ नहीं आई। क्या आप फिर से कह सकते हैं?"),
        "माफ़ कीजिए, क्या आप फिर से कह सकते हैं?",
        "माफ़ कीजिए, हम कहाँ थे?",
        "एक क्षण, मैं आपकी कॉल जोड़ रही हूँ।",
        "माफ़ कीजिए, कॉल नहीं जुड़ पाई। मैं आपके लिए और क्या कर सकती हूँ?",
    ),
    "es": Phrases(
        ("Perdone, no le he entendido.", "No le he oído bien. ¿Puede repetirlo?"),
        "Perdone, ¿puede repetirlo?",
        "Perdone, ¿por dónde íbamos?",
        "Un momento, le paso la llamada.",
        "Lo siento, no he podido pasarle la llamada. ¿En qué más puedo ayudarle?",
    ),
    "fr": Phrases(
        ("Pardon, je n'ai pas compris.", "Je vous ai mal entendu. Pouvez-vous répéter ?"),
        "Pardon, pouvez-vous répéter ?",
        "Pardon, où en étions-nous ?",
        "Un instant, je vous mets en relation.",
        "Je suis désolé, je n'ai pas pu vous mettre en relation. Que puis-je faire d'autre ?",
    ),
    "de": Phrases(
        (
            "Entschuldigung, das habe ich nicht verstanden.",
            "Ich habe Sie schlecht gehört. Können Sie das wiederholen?",
        ),
        "Entschuldigung, können Sie das wiederholen?",
        "Entschuldigung, wo waren wir?",
        "Einen Moment, ich verbinde Sie.",
        "Es tut mir leid, ich konnte Sie nicht verbinden. Was kann ich sonst für Sie tun?",
    ),
    "pt": Phrases(
        ("Desculpe, não entendi.", "Não ouvi bem. Pode repetir?"),
        "Desculpe, pode repetir?",
        "Desculpe, onde estávamos?",
        "Um momento, vou transferir a chamada.",
        "Desculpe, não consegui transferir a chamada. Em que mais posso ajudar?",
    ),
    "it": Phrases(
        ("Mi scusi, non ho capito.", "Non ho sentito bene. Può ripetere?"),
        "Mi scusi, può ripetere?",
        "Mi scusi, dove eravamo rimasti?",
        "Un momento, le passo la chiamata.",
        "Mi dispiace, non sono riuscito a passarle la chiamata. Che altro posso fare per lei?",
    ),
    "nl": Phrases(
        ("Sorry, dat heb ik niet verstaan.", "Ik hoorde u niet goed. Kunt u dat herhalen?"),
        "Sorry, kunt u dat herhalen?",
        "Sorry, waar waren we?",
        "Een ogenblik, ik verbind u door.",
        "Het spijt me, ik kon u niet doorverbinden. Wat kan ik nog voor u doen?",
    ),
}


def phrases_in(language: str) -> Phrases:
    """Return the phrases of a BCP 47 tag's language, the English ones where there are none."""
    return PHRASES.get(language.partition("-")[0].lower(), PHRASES["en"])
