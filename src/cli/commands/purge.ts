/** `emperor purge NAME`: asks, since a home is gone for good. */
import { createInterface } from 'node:readline/promises';
import { type Call, onlyWord, usageError } from '../call.ts';
import { EXIT } from '../exit.ts';
import { isInputTerminal, say } from '../output.ts';
import { reach } from '../reach.ts';

export async function run(call: Call): Promise<number> {
  const name = onlyWord(call);
  const client = await reach(call.globals);
  if (!call.options.flag('yes')) {
    if (!isInputTerminal()) {
      throw usageError(`Cannot purge ${name}: nobody to ask here; say --yes`);
    }
    if (!(await isAgreed(name))) {
      say('emperor: nothing was removed');
      return EXIT.no;
    }
  }
  await client.purge(name);
  return EXIT.done;
}

async function isAgreed(name: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await lines.question(
      `Remove home, logs, uid and addresses of ${name} for good? [y/N] `,
    );
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
