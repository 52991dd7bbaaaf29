/** `emperor start, stop, restart, reload, freeze, thaw NAME…`: several at once, one failure stops no other. */

import type { ApiClient } from '../../api/client.ts';
import { inParallel } from '../../base/semaphore.ts';
import { VASSAL_ACTIONS, type VassalAction } from '../../emperor/governor.ts';
import type { Call } from '../call.ts';
import { EXIT } from '../exit.ts';
import { printJson } from '../output.ts';
import { reach } from '../reach.ts';
import { reportError } from '../report.ts';

/** Requests under way at the same time. */
const AT_ONCE = 32;

export async function run({ verb, words, globals }: Call): Promise<number> {
  const client = await reach(globals);
  const action = actionOf(verb);
  const names = [...new Set(words)];
  const statuses = await inParallel(names, AT_ONCE, (name) => actOn(client, name, action));
  if (globals.json) printJson(names.map((name, index) => ({ name, done: statuses[index] === 0 })));
  return statuses.find((status) => status !== EXIT.done) ?? EXIT.done;
}

async function actOn(client: ApiClient, name: string, action: VassalAction): Promise<number> {
  try {
    await client.act(name, action);
    return EXIT.done;
  } catch (error) {
    return reportError(error);
  }
}

function actionOf(verb: string): VassalAction {
  const action = VASSAL_ACTIONS.find((each) => each === verb);
  if (action) return action;
  throw new Error(`no action is called ${verb}`);
}
