"""Agents' files with one fault each, and the one line that says so; `agent.yaml` is the file."""

from __future__ import annotations

_TOOL = """tools:
  - name: look
    description: Looks.
    url: https://example.com/x
"""
_FLOW = """greeting: Hi
flow:
  steps:
    a:
      prompt: What?
"""
_FIELDS = (
    "after_call, data, description, failure, flow, goodbye, greeting, greeting_interruptible, "
    "language, languages, limits, machine, name, numbers, phone_style, prompt, providers, "
    "recording, tools, transfer, transfer_caller_id, turn_taking"
)

# What it is about, the file, the line.
FAULTY_FILES: dict[str, tuple[str, str]] = {
    "nothing at all": (
        "# only a comment\n",
        "agent.yaml:1: there is nothing in this file",
    ),
    "a tab": (
        "greeting: Hi\nturn_taking:\n\tmax_call_s: 3\n",
        "agent.yaml:3: a tab stands here; YAML is indented by spaces",
    ),
    "a colon within a text": (
        "greeting: Hello: who is there\n",
        "agent.yaml:1: a text that holds a colon goes in quotes",
    ),
    "a key without a colon": (
        "greeting: Hi\nprompt\nlanguage: en\n",
        "agent.yaml:2: a key without its colon",
    ),
    "an open quote": (
        'greeting: "Hi\nprompt: x\n',
        "agent.yaml:1: a quote is opened and never closed",
    ),
    "an open bracket": (
        "greeting: Hi\ntools: [hang_up\n",
        "agent.yaml:2: a [ or { is not closed, a comma is missing, or a text in it needs quotes",
    ),
    "indentation that does not fit": (
        "greeting: Hi\nfailure:\n    then: end\n  apology: Sorry\n",
        "agent.yaml:4: the indentation does not fit what is above",
    ),
    "a text that begins with @": (
        "greeting: @home\n",
        "agent.yaml:1: a text that begins with @ goes in quotes",
    ),
    "an unknown alias": (
        "greeting: *hello\n",
        "agent.yaml:1: *hello stands for &hello, which comes nowhere before",
    ),
    "a second document": (
        "greeting: Hi\n---\ngreeting: Ho\n",
        "agent.yaml:2: a second document begins here; a file holds one",
    ),
    "a list where fields should be": (
        "- greeting\n",
        "agent.yaml:1: should hold fields: `greeting: ...`",
    ),
    "a key twice": (
        "greeting: Hi\nprompt: a\ngreeting: Ho\n",
        "agent.yaml:3: greeting: given twice, before in line 1",
    ),
    "a tag": (
        "greeting: !!python/name:os.system x\n",
        "agent.yaml:1: greeting: tags (!name) are not read here",
    ),
    "a merge": (
        "failure: &f {then: end}\nmachine:\n  <<: *f\n",
        "agent.yaml:3: machine.<<: merging (<<) is not read here",
    ),
    "too deep": (
        "greeting: Hi\nflow: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        "agent.yaml:2: more than 24 levels within each other",
    ),
    "aliases that multiply": (
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c "
            "[*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: "
            "[*d,*d,*d]\n"
        ),
        "agent.yaml:1: aliases make more of this than a file may hold",
    ),
    "an alias within itself": (
        "greeting: &a [*a]\n",
        "agent.yaml:1: aliases make more of this than a file may hold",
    ),
    "a bad escape": (
        'greeting: "a\\q"\n',
        "agent.yaml:1: \\q means nothing within double quotes",
    ),
    "a control character": (
        "greeting: a\x07b\n",
        "agent.yaml:1: a control character, which YAML does not take",
    ),
    "a misspelt field": (
        "greting: Hi\n",
        "agent.yaml:1: greting: is no field here; did you mean greeting?",
    ),
    "an unknown field": (
        "colour: blue\n",
        f"agent.yaml:1: colour: is no field here; there are: {_FIELDS}",
    ),
    "a misspelt field further in": (
        "turn_taking:\n  endpointing:\n    wait: 0.4\n",
        "agent.yaml:3: turn_taking.endpointing.wait: is no field here; did you mean wait_s?",
    ),
    "a text where a number should be": (
        "turn_taking:\n  max_call_s: long\n",
        "agent.yaml:2: turn_taking.max_call_s: should be a number, not text",
    ),
    "a claim where a number should be": (
        "turn_taking:\n  max_call_s: true\n",
        "agent.yaml:2: turn_taking.max_call_s: should be a number, not true or false",
    ),
    "a number where a text should be": (
        "greeting: 42\n",
        "agent.yaml:1: greeting: should be text, not a number; put it in quotes",
    ),
    "nothing where a text should be": (
        "greeting:\n",
        "agent.yaml:1: greeting: should be text, not nothing",
    ),
    "a list where a text should be": (
        "greeting: [Hi]\n",
        "agent.yaml:1: greeting: should be text, not a list",
    ),
    "a negative time": (
        "limits:\n  first_s: -1\n",
        "agent.yaml:2: limits.first_s: should be at least 0",
    ),
    "too large a number": (
        "limits:\n  retries: 9\n",
        "agent.yaml:2: limits.retries: should be at most 5",
    ),
    "a fraction": (
        "limits:\n  retries: 1.5\n",
        "agent.yaml:2: limits.retries: should be a whole number",
    ),
    "a text where a claim should be": (
        "greeting_interruptible: maybe\n",
        "agent.yaml:1: greeting_interruptible: should be true or false",
    ),
    "a word that is none of a few": (
        "failure:\n  then: transfr\n",
        "agent.yaml:2: failure.then: 'transfr' is not known here; did you mean transfer?",
    ),
    "fields where a word should be": (
        "failure:\n  then: {to: me}\n",
        "agent.yaml:2: failure.then: should be one of end, transfer, not fields",
    ),
    "a text where fields should be": (
        "failure: end\n",
        "agent.yaml:1: failure: should have fields below it",
    ),
    "a bad language": (
        "language: english language\n",
        "agent.yaml:1: language: should be a language, such as en or hi-IN",
    ),
    "a bad language among others": (
        "languages:\n  'e n':\n    greeting: x\n",
        "agent.yaml:2: languages.e n: should be a language, such as en or hi-IN",
    ),
    "a misspelt field of a language": (
        "languages:\n  hi:\n    greting: x\n",
        "agent.yaml:3: languages.hi.greting: is no field here; did you mean greeting?",
    ),
    "the own language again": (
        "languages:\n  en:\n    greeting: x\n",
        "agent.yaml:2: languages.en: is the agent's own language already",
    ),
    "a bad name": (
        "name: my agent\n",
        "agent.yaml:1: name: should be a name of letters, digits, dots and dashes",
    ),
    "a local number": (
        "numbers: ['08012345']\n",
        (
            "agent.yaml:1: numbers[0]: should be a number with its country code, such as "
            "+918000000001"
        ),
    ),
    "a number of a transfer": (
        "transfer:\n  sales: '12'\n",
        (
            "agent.yaml:2: transfer.sales: should be a number with its country code, such as "
            "+918000000001"
        ),
    ),
    "a word to redact": (
        "data:\n  redact: [number]\n",
        "agent.yaml:2: data.redact[0]: 'number' is not known here; did you mean numbers?",
    ),
    "an after-call address": (
        "after_call:\n  url: ftp://example.com\n",
        "agent.yaml:2: after_call.url: should begin with http:// or https://",
    ),
    "too long a text": (
        f"greeting: {'x' * 20_001}\n",
        "agent.yaml:1: greeting: is longer than 20000 characters",
    ),
    "an unknown provider": (
        "providers:\n  stt: [deepgrm]\n",
        "agent.yaml:2: providers.stt[0]: 'deepgrm' is no provider of stt; did you mean deepgram?",
    ),
    "a provider of another kind": (
        "providers:\n  llm: [deepgram]\n",
        (
            "agent.yaml:2: providers.llm[0]: 'deepgram' is no provider of llm; there are: "
            "livekit:<plugin>, offline, openai"
        ),
    ),
    "no provider": (
        "providers:\n  tts: []\n",
        "agent.yaml:2: providers.tts: is empty",
    ),
    "two providers in one entry": (
        "providers:\n  tts:\n    - openai: {}\n      offline: {}\n",
        (
            "agent.yaml:3: providers.tts[0]: one provider an entry: a name, or a name with "
            "its options below it"
        ),
    ),
    "a plugin without its name": (
        "providers:\n  tts: [livekit]\n",
        (
            "agent.yaml:2: providers.tts[0]: 'livekit' is no provider of tts; did you mean "
            "livekit:<plugin>?"
        ),
    ),
    "no name at all": (
        "providers:\n  tts: ['Open AI']\n",
        (
            "agent.yaml:2: providers.tts[0].name: no name of a provider, such as offline, "
            "openai or livekit:cartesia"
        ),
    ),
    "an unknown provider of a language": (
        "languages:\n  hi:\n    providers: {tts: [opnai]}\n",
        (
            "agent.yaml:3: languages.hi.providers.tts[0]: 'opnai' is no provider of tts; did "
            "you mean openai?"
        ),
    ),
    "too many providers": (
        (
            "providers:\n  tts: [offline, offline, offline, offline, offline, offline, "
            "offline, offline, offline]\n"
        ),
        "agent.yaml:2: providers.tts: has more than 8 entries",
    ),
    "an unknown option": (
        "providers:\n  tts:\n    - openai:\n        speeed: 2\n",
        "agent.yaml:4: providers.tts[0].openai.speeed: is no field here; did you mean speed?",
    ),
    "an option out of bounds": (
        "providers:\n  tts:\n    - offline\n    - openai: {speed: 9}\n",
        "agent.yaml:4: providers.tts[1].openai.speed: should be at most 2",
    ),
    "an option of the long form": (
        "providers:\n  tts:\n    - name: openai\n      options: {speed: 9}\n",
        "agent.yaml:3: providers.tts[0].openai.speed: should be at most 2",
    ),
    "options that are no fields": (
        "providers:\n  tts:\n    - openai: fast\n",
        "agent.yaml:3: providers.tts[0].options: should have fields below it",
    ),
    "a key in the file": (
        "providers:\n  llm:\n    - openai: {api_key_env: sk-abc}\n",
        (
            "agent.yaml:3: providers.llm[0].openai.api_key_env: should be the name of an "
            "environment variable, or empty"
        ),
    ),
    "an option of an offline part": (
        "providers:\n  stt:\n    - offline: {language: en}\n",
        (
            "agent.yaml:3: providers.stt[0].offline.language: is no field here; there are: "
            "api_key_env"
        ),
    ),
    "an unknown name in braces": (
        "prompt: You talk to {call.form}.\n",
        (
            "agent.yaml:1: prompt: {call.form} is nothing that can be filled in; did you mean"
            " call.from?"
        ),
    ),
    "a secret in a prompt": (
        "prompt: The key is {secret.KEY}.\n",
        "agent.yaml:1: prompt: {secret.KEY}: secrets go into HTTP tools alone",
    ),
    "failure without a number": (
        "failure:\n  then: transfer\n",
        "agent.yaml:2: failure.then: there is no number in `transfer` to transfer to",
    ),
    "failure to an unknown name": (
        "failure:\n  then: transfer\n  transfer_to: sale\ntransfer:\n  sales: '+918000000001'\n",
        "agent.yaml:3: failure.transfer_to: there is no 'sale' in `transfer`; did you mean sales?",
    ),
    "waits that do not fit": (
        "turn_taking:\n  endpointing:\n    wait_s: 2\n    most_wait_s: 1\n",
        "agent.yaml:4: turn_taking.endpointing.most_wait_s: should be at least wait_s, which is 2",
    ),
    "no message for a machine": (
        "machine:\n  then: leave_message\n",
        "agent.yaml:1: machine.message: is missing: it is what leave_message leaves",
    ),
    "an unknown tool": (
        "tools: [hangup]\n",
        "agent.yaml:1: tools[0]: 'hangup' is not known here; did you mean hang_up?",
    ),
    "a tool that is a number": (
        "tools: [3]\n",
        (
            "agent.yaml:1: tools[0]: should be one of hang_up, transfer, send_dtmf, "
            "switch_language, gather_digits, not a number"
        ),
    ),
    "a tool twice": (
        "tools: [hang_up, hang_up]\n",
        "agent.yaml:1: tools[1]: there is a tool 'hang_up' already",
    ),
    "transfer without numbers": (
        "tools:\n  - transfer\n",
        "agent.yaml:2: tools[0]: transfer needs numbers under the field `transfer`",
    ),
    "no other language": (
        "tools:\n  - switch_language\n",
        "agent.yaml:2: tools[0]: switch_language needs another language under `languages`",
    ),
    "a tool without its address": (
        "tools:\n  - name: look\n    description: Looks.\n",
        "agent.yaml:2: tools[0].url: is missing",
    ),
    "a tool's unknown method": (
        _TOOL + "    method: FETCH\n",
        "agent.yaml:5: tools[0].method: 'FETCH' is not known here; did you mean PATCH?",
    ),
    "a tool's misspelt field": (
        _TOOL + "    header: {a: b}\n",
        "agent.yaml:5: tools[0].header: is no field here; did you mean headers?",
    ),
    "a tool of no protocol": (
        "tools:\n  - {name: look, description: Looks., url: example.com}\n",
        "agent.yaml:2: tools[0].url: should begin with http:// or https://",
    ),
    "a tool without description": (
        "tools:\n  - name: look\n    description: ''\n    url: https://example.com\n",
        "agent.yaml:3: tools[0].description: is empty: the model goes by it",
    ),
    "a schema that is no object": (
        _TOOL + "    parameters: {type: string}\n",
        "agent.yaml:5: tools[0].parameters: should be a JSON schema with `type: object`",
    ),
    "a schema's unknown type": (
        _TOOL + "    parameters: {type: object, properties: {day: {type: strng}}}\n",
        (
            "agent.yaml:5: tools[0].parameters.properties.day.type: 'strng' is no type of "
            "JSON schema; did you mean string?"
        ),
    ),
    "a schema's argument that is text": (
        _TOOL + "    parameters: {type: object, properties: {day: string}}\n",
        (
            "agent.yaml:5: tools[0].parameters.properties.day: should be a JSON schema, such "
            "as {type: string}"
        ),
    ),
    "an unknown argument required": (
        _TOOL
        + "    parameters: {type: object, properties: {day: {type: string}}, required: [dy]}\n",
        "agent.yaml:5: tools[0].parameters.required[0]: 'dy' is no argument; did you mean day?",
    ),
    "an argument that is not declared": (
        _TOOL + "    query:\n      d: '{day}'\n",
        (
            "agent.yaml:6: tools[0].query.d: {day} is nothing that can be filled in; there "
            "are: call.from, call.id, call.to, metadata.x, variables.x"
        ),
    ),
    "a secret that is not listed": (
        _TOOL + "    headers:\n      K: '{secret.BOOKING_KEY}'\n",
        (
            "agent.yaml:6: tools[0].headers.K: {secret.BOOKING_KEY}: BOOKING_KEY is not "
            "listed in `secrets`"
        ),
    ),
    "a secret's bad name": (
        _TOOL + "    secrets: ['booking key']\n",
        (
            "agent.yaml:5: tools[0].secrets[0]: should be the name of an environment "
            "variable, such as BOOKING_KEY"
        ),
    ),
    "a host that the model chooses": (
        (
            "tools:\n  - name: look\n    description: Looks.\n    url: https://{host}/x\n    "
            "parameters: {type: object, properties: {host: {type: string}}}\n"
        ),
        "agent.yaml:4: tools[0].url: the host must stand as it is, without names in braces",
    ),
    "an argument in the body": (
        _TOOL
        + (
            "    method: POST\n    body:\n      visit: [{day: '{dya}'}]\n    parameters: {type: "
            "object, properties: {day: {type: string}}}\n"
        ),
        (
            "agent.yaml:7: tools[0].body.visit[0].day: {dya} is nothing that can be filled "
            "in; did you mean day?"
        ),
    ),
    "a host by a secret": (
        (
            "tools:\n  - name: look\n    description: Looks.\n    url: https://{secret.KEY}/x"
            "\n    secrets: [KEY]\n"
        ),
        "agent.yaml:4: tools[0].url: the host must stand as it is, without names in braces",
    ),
    "an address without a host": (
        "tools:\n  - name: look\n    description: Looks.\n    url: https:///x\n",
        "agent.yaml:4: tools[0].url: has no host",
    ),
    "an address with a password": (
        (
            "tools:\n  - name: look\n    description: Looks.\n    url: "
            "https://me:pass@example.com/x\n"
        ),
        "agent.yaml:4: tools[0].url: should hold no user or password; send a header instead",
    ),
    "an address with a bad port": (
        "tools:\n  - name: look\n    description: Looks.\n    url: https://example.com:http/x\n",
        "agent.yaml:4: tools[0].url: can't be read as an address",
    ),
    "an address with a fragment": (
        "tools:\n  - name: look\n    description: Looks.\n    url: 'https://example.com/x#y'\n",
        "agent.yaml:4: tools[0].url: should have no part after a #",
    ),
    "arguments that are a list": (
        _TOOL + "    parameters: {type: object, properties: [day]}\n",
        "agent.yaml:5: tools[0].parameters.properties: should have the arguments below it",
    ),
    "required that is no list": (
        _TOOL + "    parameters: {type: object, required: day}\n",
        "agent.yaml:5: tools[0].parameters.required: should be a list",
    ),
    "a function without a module": (
        "tools:\n  - python: look\n",
        "agent.yaml:2: tools[0].python: should be module:function",
    ),
    "a flow that is not there": (
        "flow: parlez\n",
        "agent.yaml:1: flow: there is no flows/parlez.yaml beside this file; did you mean parley?",
    ),
    "a flow's missing step": (
        _FLOW
        + "      intents:\n        go: {phrases: go, then: {goto: bb}}\n    b:\n      prompt: x\n",
        "agent.yaml:7: flow.steps.a.intents.go.then.goto: there is no step 'bb'; did you mean b?",
    ),
    "a step that nothing leads to": (
        _FLOW + "    b:\n      prompt: x\n",
        "agent.yaml:6: flow.steps.b: nothing leads to this step",
    ),
    "a flow without steps": (
        "greeting: Hi\nflow:\n  steps: {}\n",
        "agent.yaml:3: flow.steps: is empty",
    ),
    "a flow's misspelt field": (
        _FLOW + "      promt: x\n",
        "agent.yaml:6: flow.steps.a.promt: is no field here; did you mean prompt?",
    ),
    "an intent's misspelt field": (
        _FLOW + "      intents:\n        go: {phrase: go}\n",
        "agent.yaml:7: flow.steps.a.intents.go.phrase: is no field here; did you mean phrases?",
    ),
    "no phrases": (
        _FLOW + "      intents:\n        go: {phrases: []}\n",
        "agent.yaml:7: flow.steps.a.intents.go.phrases: is empty",
    ),
    "a phrase with signs": (
        _FLOW + "      intents:\n        go: {phrases: 'Go on!'}\n",
        (
            "agent.yaml:7: flow.steps.a.intents.go.phrases[0]: 'Go on!' should be words in "
            "small letters with single spaces, no signs"
        ),
    ),
    "a phrase of two intents": (
        _FLOW + "      intents:\n        go: {phrases: go on}\n        come: {phrases: go on}\n",
        "agent.yaml:8: flow.steps.a.intents.come.phrases[0]: 'go on' is a phrase of 'go' already",
    ),
    "a key of two intents": (
        _FLOW
        + (
            "      intents:\n        go: {phrases: go on, key: 1}\n        come: {phrases: "
            "come, key: 1}\n"
        ),
        "agent.yaml:8: flow.steps.a.intents.come.key: 1 is the key of 'go' already",
    ),
    "a key that is none": (
        _FLOW + "      intents:\n        go: {phrases: go on, key: A}\n",
        "agent.yaml:7: flow.steps.a.intents.go.key: should be keys of a phone: digits, * and #",
    ),
    "an unknown end": (
        _FLOW + "      intents:\n        go: {phrases: go on, then: hangup}\n",
        (
            "agent.yaml:7: flow.steps.a.intents.go.then: 'hangup' is nothing that can follow;"
            " did you mean hang_up?"
        ),
    ),
    "a name to transfer to without transfer": (
        _FLOW + "      intents:\n        go: {phrases: go on, then: {goto: a, to: x}}\n",
        "agent.yaml:7: flow.steps.a.intents.go.then: `to` belongs to transfer",
    ),
    "nothing to say after silence": (
        _FLOW + "      no_input: []\n",
        "agent.yaml:6: flow.steps.a.no_input: is empty",
    ),
    "two ends": (
        _FLOW + "      intents:\n        go: {phrases: go on, then: {goto: a, hang_up: x}}\n",
        (
            "agent.yaml:7: flow.steps.a.intents.go.then: should hold exactly one of goto, "
            "clear_number, hang_up, transfer"
        ),
    ),
    "a transfer to nobody": (
        _FLOW + "      intents:\n        go: {phrases: go on, then: {transfer: Bye., to: sales}}\n",
        (
            "agent.yaml:7: flow.steps.a.intents.go.then.to: there is no 'sales' in the "
            "agent's transfer numbers"
        ),
    ),
    "a number to collect that is impossible": (
        _FLOW + "      digits: {then: a, least: 9, most: 5}\n",
        "agent.yaml:6: flow.steps.a.digits: should have least <= enough <= most",
    ),
    "digits that lead nowhere": (
        _FLOW + "      digits: {then: b}\n",
        "agent.yaml:6: flow.steps.a.digits.then: there is no step 'b'; there are: a",
    ),
    "a keypad's missing step": (
        _FLOW + "  keypad: b\n",
        "agent.yaml:6: flow.keypad: there is no step 'b'; there are: a",
    ),
    "a keypad step without digits": (
        _FLOW + "  keypad: a\n",
        "agent.yaml:6: flow.keypad: step 'a' collects no digits",
    ),
    "an unknown variable of a flow": (
        _FLOW + "      no_input: ['{digit} please']\n",
        (
            "agent.yaml:6: flow.steps.a.no_input[0]: {digit} is nothing that can be filled "
            "in; did you mean digits?"
        ),
    ),
    "a flow without greeting": (
        "flow:\n  steps:\n    a:\n      prompt: What?\n",
        "agent.yaml:1: flow.greeting: is missing",
    ),
    "a flow that is a number": (
        "flow: 3\n",
        "agent.yaml:1: flow: should be the name of a flow, or the flow itself",
    ),
}
