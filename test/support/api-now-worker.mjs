// The thread of api-now.ts that asks. It uses the built client, since a thread is not started by vitest, which reads TypeScript.
import { parentPort } from 'node:worker_threads';
import { ApiClient } from '../../dist/api/client.js';
import { EmperorError } from '../../dist/base/errors.js';

parentPort.on('message', async ({ socketPath, verb, args, port, signal }) => {
  port.postMessage(await replyTo(new ApiClient(socketPath), verb, args));
  Atomics.store(signal, 0, 1);
  Atomics.notify(signal, 0);
  port.close();
});

async function replyTo(client, verb, args) {
  try {
    return { answer: await client[verb](...args) };
  } catch (error) {
    if (!(error instanceof EmperorError)) return { bug: String(error?.stack ?? error) };
    const { code, message, diagnostics } = error;
    return { failure: { code, message, diagnostics } };
  }
}
