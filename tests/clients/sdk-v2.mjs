// TypeScript SDK v2 (`@modelcontextprotocol/client`) behind the interface that client.mjs uses. It speaks both eras.

const MODERN = "2026-07-28";

/** Declares what the script can answer, answers it, and connects. `mode` is `legacy`, `auto` or a revision to pin. */
export async function open({ imported, transcript, answers, mode, info, command, args }) {
  const { Client, ProtocolError, SdkError } = await imported("@modelcontextprotocol/client");
  const { StdioClientTransport } = await imported("@modelcontextprotocol/client/stdio");
  const pinned = mode === "legacy" || mode === "auto" ? mode : { pin: mode };
  const client = new Client(info, { capabilities: answers.capabilities, versionNegotiation: { mode: pinned } });
  for (const [method, answer] of Object.entries(answers.handlers)) {
    client.setRequestHandler(method, ({ params }, context) => answer(params ?? {}, context?.mcpReq?.signal));
  }
  client.fallbackNotificationHandler = async ({ method, params }) => transcript.event(method, params ?? {});
  await client.connect(new StdioClientTransport({ command, args }));
  return {
    client,
    era: client.getNegotiatedProtocolVersion() < MODERN ? "legacy" : "modern",
    isError: (error) => error instanceof ProtocolError || error instanceof SdkError,
    callTool: (params, options) => client.callTool(params, options),
    listen: (filter) => client.listen(filter),
    close: () => client.close(),
  };
}
