"""Agents' files of the whole-path tests: each shows one way that a call can go.

Where words are compared there are no fillers: a busy machine would put them in.
"""

from __future__ import annotations

from collections.abc import Mapping

DESK, BUSY = "+918000000009", "+918000003010"
"""Whom the simulated cloud reaches, and whom it finds busy."""

TRANSFER_FAILED = "I am sorry, nobody is there now. What else can I do?"
NOT_TOLD = "mangoes"
LEGAL = "This call may be recorded for training. Please hear this to its end. How can I help?"
MESSAGE = "Hello Asha, you have an appointment tomorrow. Please call us back. Goodbye."
TIME_LIMIT = "Our time is over now. Goodbye."
APOLOGY = "I am sorry, our system is not working."
SILENCE = ("Are you there?", "Can you hear me?", "Then I will hang up. Goodbye.")

NO_TALK = """
flow:
  steps:
    start:
      prompt: Hello?
      intents:
        nothing: {phrases: [no thank you very much], say: Goodbye., then: hang_up}
"""
"""A flow for calls that never come to it."""

NO_MODEL = """
turn_taking: {filler: {texts: []}}
providers:
  EARS
  llm: [{openai: {base_url: 'http://127.0.0.1:9/v1', api_key_env: ''}}]
"""
"""A model that is not there."""


def number(last: int) -> str:
    """A called number of these tests."""
    return f"+918000000{last}"


def shop(version: str, *, is_broken: bool = False) -> str:
    """A shop whose greeting and answer tell its version."""
    broken = "colour: blue\n" if is_broken else ""
    return f"""
numbers: "{number(110)}"
greeting: Hello, this is shop {version}.
{broken}turn_taking: {{filler: {{texts: []}}}}
flow:
  steps:
    start:
      prompt: What else?
      intents:
        who:
          phrases: [who are you please, what shop is this]
          say: I am still shop {version}.
        goodbye:
          phrases: [goodbye and thank you]
          say: Goodbye from shop {version}.
          then: hang_up
"""


def vendor_ears(url: str) -> str:
    """Providers that hear by a stand-in and speak by the offline voice."""
    return f"stt: [{{deepgram: {{base_url: '{url}', api_key_env: ''}}}}]"


def bank(last: int, standins: str, tools: str, hook: str) -> str:
    """A language model with a tool, keys to be collected, and somebody who wants to know it all."""
    return f"""
numbers: "{number(last)}"
greeting: Hello, this is the bank.
prompt: You are a bank.
turn_taking: {{filler: {{texts: []}}}}
providers:
  {vendor_ears(standins)}
  llm: [{{openai: {{base_url: '{standins}/v1', api_key_env: ''}}}}]
tools:
  - hang_up
  - gather_digits
  - send_dtmf
  - name: balance
    description: Returns the balance.
    url: {tools}/balance
    allow_private: true
after_call: {{url: '{hook}', secret: PATHS_HOOK_SECRET, allow_private: true}}
"""


def make_agents(
    *, banks: Mapping[int, str], hook: str, machine_ears: str, tools: str
) -> dict[str, str]:
    """Return all files by name.

    Args:
        banks: the stand-ins' addresses of each bank, by its number.
        hook: where ends of calls are posted.
        machine_ears: a stand-in that hears what machines say.
        tools: where tools are.
    """
    agents = {f"bank{last}": bank(last, url, tools, hook) for last, url in banks.items()}
    after = f"after_call: {{url: '{hook}', secret: PATHS_HOOK_SECRET, allow_private: true}}"
    return agents | {
        "shop": shop("one"),
        "desk": f"""
numbers: "{number(101)}"
greeting: Hello, this is the desk.
transfer: {{operator: "{DESK}", sales: "{BUSY}"}}
failure: {{transfer_failed: "{TRANSFER_FAILED}"}}
turn_taking: {{filler: {{texts: []}}}}
flow:
  steps:
    start:
      prompt: What else?
      intents:
        operator:
          phrases: [talk to a human please, connect me to somebody]
          then: {{transfer: One moment. I will connect you.}}
        sales:
          phrases: [i want to buy something]
          then: {{transfer: I will connect you to sales., to: sales}}
        hours:
          phrases: [when are you open]
          say: We are open from nine to five.
        goodbye:
          phrases: [goodbye and thank you]
          key: 9
          say: Goodbye from the desk.
          then: hang_up
""",
        "quiet": f"""
numbers: "{number(102)}"
greeting: Hello, we sell {NOT_TOLD}.
data: {{keep_text: false}}
{after}
flow:
  steps:
    start:
      prompt: What else?
      intents:
        what:
          phrases: [what do you sell]
          say: We sell {NOT_TOLD}, nothing else.
          key: 4
        goodbye:
          phrases: [goodbye and thank you]
          say: Goodbye.
          then: hang_up
""",
        "redacted": f"""
numbers: "{number(103)}"
greeting: Please key in your number and press hash.
data: {{redact: [numbers]}}
{after}
flow:
  steps:
    start:
      prompt: Your number, please.
      digits: {{then: right, least: 7, most: 15}}
    right:
      prompt: I have {{spoken_digits}}. Is that right?
      intents:
        goodbye:
          phrases: [that is right goodbye]
          say: Goodbye then.
          then: hang_up
""",
        "hangs_up": f"""
greeting: Hello, is this Asha?
machine: {{then: hang_up}}
{NO_TALK}""",
        "leaves": f"""
greeting: Hello, is this Asha?
machine: {{then: leave_message, message: "{MESSAGE.replace("Asha", "{metadata.X-PH-name}")}"}}
{NO_TALK}""",
        "listens": f"""
greeting: Hello, is this Asha?
providers: {{{vendor_ears(machine_ears)}}}
machine: {{then: leave_message, message: "{MESSAGE}"}}
{NO_TALK}""",
        "gives_up": f"""
numbers: "{number(120)}"
greeting: Hello, this is a broken agent.
failure: {{apology: "{APOLOGY}"}}
{NO_MODEL.replace("EARS", vendor_ears(machine_ears))}""",
        "puts_through": f"""
numbers: "{number(121)}"
greeting: Hello, this is a broken agent.
transfer: {{operator: "{DESK}"}}
failure: {{apology: "{APOLOGY}", then: transfer}}
{NO_MODEL.replace("EARS", vendor_ears(machine_ears))}""",
        "silent": f"""
numbers: "{number(104)}"
greeting: Hello.
providers:
  llm: [{{openai: {{base_url: 'http://127.0.0.1:9/v1', api_key_env: ''}}}}]
turn_taking:
  silence:
    after_s: 1.5
    prompts: ["{SILENCE[0]}", "{SILENCE[1]}"]
    goodbye: {SILENCE[2]}
""",
        "short": f"""
numbers: "{number(105)}"
greeting: Hello, this is a short call.
turn_taking: {{max_call_s: 5, time_limit: {TIME_LIMIT}}}
{NO_TALK}""",
        "legal": f"""
numbers: "{number(106)}"
greeting: {LEGAL}
greeting_interruptible: false
turn_taking: {{filler: {{texts: []}}}}
flow:
  steps:
    start:
      prompt: Hello?
      intents:
        who:
          phrases: [who are you please]
          say: I am the lawyer.
""",
    }
