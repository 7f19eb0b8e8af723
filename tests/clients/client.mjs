// Performs a script of MCP requests with the TypeScript SDK and prints what came back, as one normalised JSON document.
//
//     node client.mjs [--modules FOLDER] [--define NAME=VALUE]… [--seconds N] SCRIPT.json -- COMMAND ARGUMENT…
//
// A run against the bare server and one through the gate must print the same bytes. README.md describes the script.
// --modules: the folder whose node_modules holds the SDK (default: target/servers/node of this repository).
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
    modules: { type: "string", default: fileURLToPath(new URL("../../target/servers/node", import.meta.url)) },
    define: { type: "string", multiple: true, default: [] },
    seconds: { type: "string", default: "60" },
  },
});
const [scriptPath, command, ...commandArguments] = positionals;
if (command === undefined) throw new Error("usage: client.mjs [OPTIONS] SCRIPT.json -- COMMAND ARGUMENT…");

const locate = createRequire(resolve(options.modules, "package.json"));
const sdk = (name) => import(pathToFileURL(locate.resolve(`@modelcontextprotocol/sdk/${name}`)).href);
const { Client } = await sdk("client/index.js");
const { StdioClientTransport } = await sdk("client/stdio.js");
const { InMemoryTaskStore } = await sdk("experimental/tasks/stores/in-memory.js");
const types = await sdk("types.js");

const define = Object.fromEntries(options.define.map((pair) => pair.split(/=(.*)/s, 2)));
const script = loadScript(scriptPath, define);
const transcript = new Transcript(script, define);

/** Only what the script has an answer for is declared, and each such request may also be run as a task. */
function capabilities() {
  const declared = {};
  const requests = {};
  if (script.roots) declared.roots = { listChanged: true };
  if (script.sampling) {
    declared.sampling = {};
    requests.sampling = { createMessage: {} };
  }
  if (script.elicitation) {
    declared.elicitation = { form: {}, url: {} };
    requests.elicitation = { create: {} };
  }
  if (Object.keys(requests).length > 0) declared.tasks = { list: {}, cancel: {}, requests };
  return declared;
}

/** Answers at once, or as a task when the server asked for one. */
async function answer(params, extra, result) {
  if (!params.task) return result;
  const task = await extra.taskStore.createTask({ ttl: params.task.ttl });
  await extra.taskStore.storeTaskResult(task.taskId, "completed", result);
  return { task };
}

function connectHandlers(client) {
  if (script.roots) {
    client.setRequestHandler(types.ListRootsRequestSchema, () => {
      transcript.event("roots/list", {});
      return { roots: script.roots };
    });
  }
  if (script.sampling) {
    client.setRequestHandler(types.CreateMessageRequestSchema, ({ params }, extra) => {
      transcript.event("sampling/createMessage", params);
      return answer(params, extra, script.sampling);
    });
  }
  if (script.elicitation) {
    client.setRequestHandler(types.ElicitRequestSchema, ({ params }, extra) => {
      transcript.event("elicitation/create", params);
      // Accepting an address to visit carries no content.
      return answer(params, extra, params.mode === "url" ? { action: "accept" } : script.elicitation);
    });
  }
  client.fallbackNotificationHandler = async ({ method, params }) => transcript.event(method, params ?? {});
}

/** Runs a tool as a task and gives its final result and the states it went through. */
async function callAsTask(client, params) {
  const states = [];
  const stream = client.experimental.tasks.callToolStream(params, types.CallToolResultSchema, { task: { ttl: 60_000 } });
  for await (const message of stream) {
    if (message.type === "error") throw message.error;
    if (message.type === "result") return { result: message.result, states };
    // How often a state is seen depends on polling; that it is seen does not.
    if (states.at(-1) !== message.task.status) states.push(message.task.status);
  }
  throw new Error("the task ended without a result");
}

/** The SDK's own method for each MCP method. */
function send(client, step, requestOptions) {
  const named = { name: step.name, arguments: step.arguments };
  switch (step.method) {
    case "tools/list":
      return client.listTools();
    case "tools/call":
      return client.callTool(named, undefined, requestOptions);
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
async function perform(client, step) {
  const progress = [];
  const requestOptions = step.progress
    ? {
        // The SDK forgets the handler when the answer comes; the last report may come in the same instant, so it is not kept.
        onprogress: ({ progress: done, total, message }) => {
          if (done !== total) progress.push([done, total ?? null, message ?? null]);
        },
      }
    : {};
  try {
    if (step.task) return await callAsTask(client, { name: step.name, arguments: step.arguments });
    const result = await send(client, step, requestOptions);
    return step.progress ? { result, progress } : { result };
  } catch (error) {
    if (!(error instanceof types.McpError)) throw error;
    return { error: { code: error.code, message: error.message, data: error.data ?? null } };
  }
}

const deadline = setTimeout(() => {
  console.error(`client.mjs: not done after ${options.seconds} s`);
  process.exit(1);
}, Number(options.seconds) * 1000);

const taskStore = new InMemoryTaskStore();
const client = new Client(
  { name: "cofferdam-test-client", version: "1" },
  // No task message queue: with one, the SDK queues our answer to a task's elicitation instead of sending it.
  { capabilities: capabilities(), taskStore },
);
connectHandlers(client);
const transport = new StdioClientTransport({ command, args: commandArguments });
await client.connect(transport);
transcript.connected({
  server: client.getServerVersion(),
  capabilities: client.getServerCapabilities(),
  instructions: client.getInstructions() ?? null,
});
for (const step of script.steps) {
  if ((step.client ?? "typescript") !== "typescript") continue;
  if (step.method === "wait") await transcript.waitFor(step.event, step.count);
  else transcript.step(step, await perform(client, step));
}
await client.close();
taskStore.cleanup(); // its timers would keep this process alive for as long as a task may be asked for
clearTimeout(deadline);
console.log(transcript.text());
