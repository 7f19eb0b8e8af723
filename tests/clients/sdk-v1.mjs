// TypeScript SDK v1 (`@modelcontextprotocol/sdk`) behind the interface that client.mjs uses. It speaks the legacy era only.

/** Declares what the script can answer, answers it, and connects. `sdk` imports a module of the SDK. */
export async function open({ imported, script, transcript, answers, mode, info, command, args }) {
  if (mode !== "legacy") throw new Error("the SDK v1 has no other mode than `legacy`");
  const sdk = (name) => imported(`@modelcontextprotocol/sdk/${name}`);
  const { Client } = await sdk("client/index.js");
  const { StdioClientTransport } = await sdk("client/stdio.js");
  const { InMemoryTaskStore } = await sdk("experimental/tasks/stores/in-memory.js");
  const types = await sdk("types.js");

  const taskStore = new InMemoryTaskStore();
  // No task message queue: with one, the SDK queues our answer to a task's elicitation instead of sending it.
  const client = new Client(info, { capabilities: capabilities(answers.capabilities), taskStore });
  const requests = {
    "roots/list": types.ListRootsRequestSchema,
    "sampling/createMessage": types.CreateMessageRequestSchema,
    "elicitation/create": types.ElicitRequestSchema,
  };
  for (const [method, answer] of Object.entries(answers.handlers)) {
    client.setRequestHandler(requests[method], async ({ params }, extra) =>
      asTask(params ?? {}, extra, await answer(params ?? {}, extra.signal)),
    );
  }
  client.fallbackNotificationHandler = async ({ method, params }) => transcript.event(method, params ?? {});
  await client.connect(new StdioClientTransport({ command, args }));
  return {
    client,
    era: "legacy",
    isError: (error) => error instanceof types.McpError,
    callTool: (params, options) => client.callTool(params, undefined, options),
    callAsTask: (params) => callAsTask(client, params, types.CallToolResultSchema),
    async close() {
      await client.close();
      taskStore.cleanup(); // its timers would keep this process alive for as long as a task may be asked for
    },
  };
}

/** Each request that can be answered may also be run as a task. */
function capabilities(declared) {
  const requests = {};
  if (declared.sampling) requests.sampling = { createMessage: {} };
  if (declared.elicitation) requests.elicitation = { create: {} };
  return Object.keys(requests).length > 0 ? { ...declared, tasks: { list: {}, cancel: {}, requests } } : declared;
}

/** Answers at once, or as a task when the server asked for one. */
async function asTask(params, extra, result) {
  if (!params.task) return result;
  const task = await extra.taskStore.createTask({ ttl: params.task.ttl });
  await extra.taskStore.storeTaskResult(task.taskId, "completed", result);
  return { task };
}

/** Runs a tool as a task and gives its final result and the states it went through. */
async function callAsTask(client, params, schema) {
  const states = [];
  const stream = client.experimental.tasks.callToolStream(params, schema, { task: { ttl: 60_000 } });
  for await (const message of stream) {
    if (message.type === "error") throw message.error;
    if (message.type === "result") return { result: message.result, states };
    // How often a state is seen depends on polling; that it is seen does not.
    if (states.at(-1) !== message.task.status) states.push(message.task.status);
  }
  throw new Error("the task ended without a result");
}
