"""Performs a script of MCP requests with the Python SDK and prints what came back, as one normalised JSON document.

    client.py [--mode legacy|auto|2026-07-28] [--define NAME=VALUE]… [--seconds N] SCRIPT.json -- COMMAND ARGUMENT…

A run against the bare server and one through the gate must print the same bytes. README.md describes the script.
The server gets the SDK's default environment; its stderr is ours. Exit code 0: the script ran to its end (a step
that was answered with an error is a result); 1: it did not.
"""

import argparse
import sys
import warnings

import anyio
import mcp
import mcp.types as types

sys.dont_write_bytecode = True  # the repository is not written to
from tasks import Tasks  # noqa: E402
from transcript import Transcript, load_script  # noqa: E402

# The scripts use what the newest revision deprecates, because real servers do.
warnings.simplefilter("ignore", mcp.MCPDeprecationWarning)

CLIENT_INFO = types.Implementation(name="cofferdam-test-client", version="1")
MODERN = "2026-07-28"
LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel"
# How long a listen step waits for its events before the run fails.
LISTEN_SECONDS_MAX = 10


def plain(model):
    """A result as the JSON the server sent: fields it did not send stay out."""
    return model.model_dump(by_alias=True, mode="json", exclude_unset=True)


class Session:
    """One connection, its canned answers, and the transcript of what happened."""

    def __init__(self, script, transcript):
        self.script = script
        self.transcript = transcript

    def callbacks(self):
        """Only what the script has an answer for is declared as a capability."""
        declared = {}
        if "roots" in self.script:
            declared["list_roots_callback"] = self.on_roots
        if "sampling" in self.script:
            declared["sampling_callback"] = self.on_sampling
        if "elicitation" in self.script:
            declared["elicitation_callback"] = self.on_elicitation
        if self.script.get("tasks"):
            declared["extensions"] = [Tasks(self.transcript, self.script["elicitation"])]
        return declared

    async def on_roots(self, context):
        self.transcript.event("roots/list", {})
        return types.ListRootsResult.model_validate({"roots": self.script["roots"]})

    async def on_sampling(self, context, params):
        self.transcript.event("sampling/createMessage", plain(params))
        if self.is_never_answered(params):
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                self.transcript.event("cancelled by the server", {})
                raise
        return types.CreateMessageResult.model_validate(self.script["sampling"])

    def is_never_answered(self, params):
        """Whether the script leaves this sampling request to be cancelled."""
        unanswered = self.script.get("unanswered")
        return unanswered is not None and any(unanswered in str(message.content) for message in params.messages)

    async def on_elicitation(self, context, params):
        self.transcript.event("elicitation/create", plain(params))
        # Accepting an address to visit carries no content.
        answer = {"action": "accept"} if params.mode == "url" else self.script["elicitation"]
        return types.ElicitResult.model_validate(answer)

    async def on_message(self, message):
        if isinstance(message, Exception):
            self.transcript.event("exception", {"class": type(message).__name__})
            return
        event = plain(message)
        # Progress is kept with the step that asked for it.
        if event["method"] != "notifications/progress":
            self.transcript.event(event["method"], event.get("params") or {})

    async def perform(self, client, step):
        """Sends one step and gives its entry for the transcript."""
        progress = []
        scope = anyio.CancelScope()

        async def on_progress(done, total, message):
            progress.append([done, total, message])
            if step.get("cancel"):
                scope.cancel()

        wants_progress = step.get("progress") or step.get("cancel")
        try:
            with scope:
                answer = await send(client, step, on_progress if wants_progress else None)
        except mcp.MCPError as error:
            return {"error": plain(error.error)}
        except ValueError as error:
            return {"refused by the client": type(error).__name__}
        entry = {"cancelled": True} if scope.cancelled_caught else {"result": plain(answer)}
        if wants_progress:
            entry["progress"] = progress
        return entry

    async def listen(self, client, step):
        """Opens a subscription, takes the steps inside it, and gives the events that came."""
        events = []
        async with client.listen(**step["filter"]) as subscription:
            for inner in step["steps"]:
                self.transcript.step(inner, await self.perform(client, inner))
            with anyio.fail_after(LISTEN_SECONDS_MAX):
                while len(events) < step["events"]:
                    events.append(repr(await anext(subscription)))
        return {"honored": plain(subscription.honored), "events": sorted(events)}

    async def take(self, client, step):
        """One step of the script, in the eras and for the client it is meant for."""
        era = "legacy" if client.protocol_version < MODERN else "modern"
        if step.get("client", "python") != "python" or step.get("era", era) != era:
            return
        match step["method"]:
            case "wait":
                await self.transcript.wait_for(step["event"], step["count"], anyio.sleep)
            case "subscriptions/listen":
                self.transcript.step(step, await self.listen(client, step))
            case _:
                self.transcript.step(step, await self.perform(client, step))


async def send(client, step, on_progress):
    """The SDK's own method for each MCP method."""
    match step["method"]:
        case "tools/list":
            return await client.list_tools()
        case "tools/call":
            meta = {LOG_LEVEL_KEY: step["log"]} if "log" in step else None
            return await client.call_tool(step["name"], step.get("arguments"), progress_callback=on_progress, meta=meta)
        case "prompts/list":
            return await client.list_prompts()
        case "prompts/get":
            return await client.get_prompt(step["name"], step.get("arguments"))
        case "resources/list":
            return await client.list_resources()
        case "resources/templates/list":
            return await client.list_resource_templates()
        case "resources/read":
            return await client.read_resource(step["uri"])
        case "resources/subscribe":
            return await client.subscribe_resource(step["uri"])
        case "resources/unsubscribe":
            return await client.unsubscribe_resource(step["uri"])
        case "completion/complete":
            kind = {"ref/prompt": types.PromptReference, "ref/resource": types.ResourceTemplateReference}
            reference = kind[step["ref"]["type"]].model_validate(step["ref"])
            return await client.complete(reference, step["argument"], step.get("context"))
        case "logging/setLevel":
            return await client.set_logging_level(step["level"])
        case "ping":
            return await client.send_ping()
    raise SystemExit(f"client.py: the script names a method this client does not have: `{step['method']}`")


async def run(options, script):
    transcript = Transcript(script, options.define)
    session = Session(script, transcript)
    server = mcp.StdioServerParameters(command=options.command[0], args=options.command[1:])
    with anyio.fail_after(options.seconds):
        # The response cache is off: every step must reach the server.
        async with mcp.Client(
            server,
            mode=options.mode or script.get("mode", "legacy"),
            client_info=CLIENT_INFO,
            message_handler=session.on_message,
            cache=None,
            **session.callbacks(),
        ) as client:
            transcript.connected(
                client.protocol_version,
                plain(client.server_info) if client.server_info else None,
                plain(client.server_capabilities),
                client.instructions,
            )
            for step in script["steps"]:
                await session.take(client, step)
    return transcript


def main():
    parser = argparse.ArgumentParser(prog="client.py")
    parser.add_argument("--mode", help="how to negotiate the revision; the script's own mode otherwise")
    parser.add_argument("--define", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seconds", type=float, default=60.0, help="give up after this long")
    parser.add_argument("script")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    options.define = dict(pair.split("=", 1) for pair in options.define)
    script = load_script(options.script, options.define)
    print(anyio.run(run, options, script).text())


if __name__ == "__main__":
    sys.exit(main())
