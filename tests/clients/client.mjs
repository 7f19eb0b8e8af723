// Performs a script of MCP requests with a TypeScript SDK and prints what came back, as one normalised JSON document.
//
//     node client.mjs [--sdk v1|v2] [--mode legacy|auto|2026-07-28] [--modules FOLDER] [--define NAME=VALUE]…
//                     [--seconds N] SCRIPT.json -- COMMAND ARGUMENT…
//
// A run against the bare server and one through the gate must print the same bytes. README.md describes the script.
// --modules: the folder whose node_modules holds the SDKs (default: target/servers/clients of this repository).
// The server gets the SDK's default environment; its stderr is ours. Exit code 0: the script ran to its end (a step
// that was answered with an error is a result); 1: it did not.

import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { Transcript, loadScript } from "./transcript.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sdk: { type: "string", default: "v1" },
    mode: { type: "string", default: "legacy" },
    modules: { type: "string", default: fileURLToPath(new URL("../../target/servers/clients", import.meta.url)) },
    define: { type: "string", multiple: true, default: [] },
    seconds: { type: "string", default: "60" },
  },
});
const [scriptPath, command, ...args] = positionals;
if (command === undefined) throw new Error("usage: client.mjs [OPTIONS] SCRIPT.json -- COMMAND ARGUMENT…");

const LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel";
// How long an open subscription waits for its events before the run fails.
const LISTEN_MILLISECONDS_MAX = 10_000;

/** A module of an SDK; `import` and `require` find the same packages, and both SDKs answer to `import`. */
async function imported(name) {
  const found = createRequire(resolve(options.modules, "package.json")).resolve(name);
  return import(pathToFileURL(found).href);
}

const define = Object.fromEntries(options.define.map((pair) => pair.split(/=(.*)/s, 2)));
const script = loadScript(scriptPath, define);
const transcript = new Transcript(script, define);

/** Whether the script leaves this sampling request to be cancelled. */
function isNeverAnswered(params) {
  return script.unanswered !== undefined && JSON.stringify(params.messages).includes(script.unanswered);
}

/** The canned answers to the server's requests. Only what the script has an answer for is declared. */
function answers() {
  const handlers = {};
  const capabilities = {};
  if (script.roots) {
    capabilities.roots = { listChanged: true };
    handlers["roots/list"] = () => {
      transcript.event("roots/list", {});
      return { roots: script.roots };
    };
  }
  if (script.sampling) {
    capabilities.sampling = {};
    handlers["sampling/createMessage"] = async (params, signal) => {
      transcript.event("sampling/createMessage", params);
      if (isNeverAnswered(params)) {
        await new Promise((done) => signal.addEventListener("abort", done));
        transcript.event("cancelled by the server", {});
      }
      return script.sampling;
    };
  }
  if (script.elicitation) {
    capabilities.elicitation = { form: {}, url: {} };
    handlers["elicitation/create"] = (params) => {
      transcript.event("elicitation/create", params);
      // Accepting an address to visit carries no content.
      return params.mode === "url" ? { action: "accept" } : script.elicitation;
    };
  }
  return { handlers, capabilities };
}

/** The SDK's own method for each MCP method. */
function send(session, step, requestOptions) {
  const { client } = session;
  const named = { name: step.name, arguments: step.arguments };
  switch (step.method) {
    case "tools/list":
      return client.listTools();
    case "tools/call":
      return session.callTool(step.log ? { ...named, _meta: { [LOG_LEVEL_KEY]: step.log } } : named, requestOptions);
    case "prompts/list":
      return client.listPrompts();
    case "prompts/get":
      return client.getPrompt(named);
    case "resources/list":
      return client.listResources();
    case "resources/templates/list":
      return client.listResourceTemplates();
    case "resources/read":
      return client.readResource({ uri: step.uri });
    case "resources/subscribe":
      return client.subscribeResource({ uri: step.uri });
    case "resources/unsubscribe":
      return client.unsubscribeResource({ uri: step.uri });
    case "completion/complete": {
      const context = step.context && { context: { arguments: step.context } };
      return client.complete({ ref: step.ref, argument: step.argument, ...context });
    }
    case "logging/setLevel":
      return client.setLoggingLevel(step.level);
    case "ping":
      return client.ping();
  }
  throw new Error(`the script names a method this client does not have: \`${step.method}\``);
}

/** Sends one step and gives its entry for the transcript. */
async function perform(session, step) {
  const progress = [];
  const stop = new AbortController();
  // The SDK forgets the handler when the answer comes; the last report may come in the same instant, so it is not kept.
  const onprogress = ({ progress: done, total, message }) => {
    if (done !== total) progress.push([done, total ?? null, message ?? null]);
    if (step.cancel) stop.abort();
  };
  const watched = step.progress || step.cancel;
  try {
    if (step.task) return await session.callAsTask({ name: step.name, arguments: step.arguments });
    const result = await send(session, step, watched ? { onprogress, signal: stop.signal } : {});
    return watched ? { result, progress } : { result };
  } catch (error) {
    if (stop.signal.aborted) return { cancelled: true, progress };
    if (!session.isError(error)) throw error;
    return { error: { code: error.code, message: error.message, data: error.data ?? null } };
  }
}

/** Opens a subscription, takes the steps inside it, and waits for the events that the script expects. */
async function listen(session, step) {
  const seen = () => Object.entries(transcript.events).flatMap(([method, events]) => (/changed|updated/.test(method) ? events : []));
  const wanted = seen().length + step.events;
  const filter = {
    toolsListChanged: step.filter.tools_list_changed,
    promptsListChanged: step.filter.prompts_list_changed,
    resourceSubscriptions: step.filter.resource_subscriptions,
  };
  const subscription = await session.listen(filter);
  for (const inner of step.steps) transcript.step(inner, await perform(session, inner));
  await transcript.waitUntil(() => seen().length >= wanted, LISTEN_MILLISECONDS_MAX, `${step.events} events`);
  await subscription.close();
  return { honored: subscription.honoredFilter, closed: await subscription.closed };
}

/** One step of the script, in the eras and for the client it is meant for. */
async function take(session, step) {
  if ((step.client ?? "typescript") !== "typescript" || (step.era ?? session.era) !== session.era) return;
  if (step.method === "wait") await transcript.waitFor(step.event, step.count);
  else if (step.method === "subscriptions/listen") transcript.step(step, await listen(session, step));
  else transcript.step(step, await perform(session, step));
}

const deadline = setTimeout(() => {
  console.error(`client.mjs: not done after ${options.seconds} s`);
  process.exit(1);
}, Number(options.seconds) * 1000);

const { open } = await import(`./sdk-${options.sdk}.mjs`);
const info = { name: "cofferdam-test-client", version: "1" };
const session = await open({ imported, transcript, answers: answers(), mode: options.mode, info, command, args });
transcript.connected({
  server: session.client.getServerVersion() ?? null,
  capabilities: session.client.getServerCapabilities() ?? null,
  instructions: session.client.getInstructions() ?? null,
});
for (const step of script.steps) await take(session, step);
await session.close();
clearTimeout(deadline);
console.log(transcript.text());
