"""What a scripted session showed, normalised so that two runs can be compared as text."""

import json
import re

# How long a `wait` step waits for its events before the run fails.
WAIT_SECONDS_MAX = 10.0
WAIT_STEP_SECONDS = 0.02


def load_script(path, define):
    """Reads a script and puts in the values of its `@NAME@` placeholders."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for name, value in define.items():
        text = text.replace(f"@{name}@", json.dumps(value)[1:-1])
    if missing := re.search(r"@[A-Z]+@", text):
        raise SystemExit(f"`{path}` needs `--define {missing.group().strip('@')}=…`")
    return json.loads(text)


class Transcript:
    """Steps in order; events sorted within their method, because they may arrive beside any step."""

    def __init__(self, script, define):
        self.masks = [(re.compile(pattern), shown) for pattern, shown in script.get("mask", [])]
        self.dropped = [re.compile(pattern) for pattern in script.get("drop", [])]
        # Longest value first: a value inside another must not break it.
        self.names = sorted(((value, f"@{name}@") for name, value in define.items()), key=lambda pair: -len(pair[0]))
        self.about = {}
        self.steps = []
        self.events = {}

    def connected(self, protocol, server, capabilities, instructions):
        self.about = self.masked(
            {"protocol": protocol, "server": server, "capabilities": capabilities, "instructions": instructions}
        )

    def step(self, step, entry):
        self.steps.append({"step": self.masked(step), **self.masked(entry)})

    def event(self, method, params):
        if any(pattern.search(json.dumps(params, ensure_ascii=False)) for pattern in self.dropped):
            return
        self.events.setdefault(method, []).append(self.masked(params))

    async def wait_for(self, method, count, sleep):
        """Returns when `count` events of `method` have been seen in all."""
        waited = 0.0
        while len(self.events.get(method, [])) < count:
            if waited > WAIT_SECONDS_MAX:
                raise SystemExit(f"waited {WAIT_SECONDS_MAX:.0f} s for {count} of `{method}`: {self.events.get(method)}")
            await sleep(WAIT_STEP_SECONDS)
            waited += WAIT_STEP_SECONDS

    def masked(self, value):
        if isinstance(value, str):
            for text, name in self.names:
                value = value.replace(text, name)
            for pattern, shown in self.masks:
                value = pattern.sub(shown, value)
            return value
        if isinstance(value, list):
            return [self.masked(element) for element in value]
        if isinstance(value, dict):
            return {key: self.masked(member) for key, member in value.items()}
        return value

    def text(self):
        events = {method: sorted(seen, key=lambda each: json.dumps(each, sort_keys=True)) for method, seen in self.events.items()}
        return json.dumps(
            {"about": self.about, "steps": self.steps, "events": events}, sort_keys=True, ensure_ascii=False, indent=1
        )
