/** `emperor net`: the network of all vassals, who moves most in it, and which rules deny; or that of one vassal. */
import { setTimeout } from 'node:timers/promises';
import type { NetworkStatus, VassalNetworkStatus } from '../../emperor/governor.ts';
import { type Call, usageError } from '../call.ts';
import { EXIT } from '../exit.ts';
import { renderNetwork, renderVassalNetwork } from '../network-text.ts';
import { paintFor, print, printJson, tableStyle } from '../output.ts';
import { reach } from '../reach.ts';
import { withRates } from '../traffic-rates.ts';

const DEFAULT_TOP = 10;
/** Between the two looks of --rates. */
const RATE_MS = 1000;

export async function run(call: Call): Promise<number> {
  const { globals, words, options } = call;
  const client = await reach(globals);
  const [name] = words;
  if (name !== undefined) {
    const network: VassalNetworkStatus = await client.vassalNetwork(name);
    if (globals.json) printJson(network);
    else print(renderVassalNetwork(network, paintFor(globals)));
    return EXIT.done;
  }
  const top = parseTop(options.text('top'));
  const first = await client.network();
  const network = options.flag('rates') ? await laterLook(first, () => client.network()) : first;
  if (globals.json) printJson(network);
  else print(renderNetwork(network, { top, style: tableStyle(globals) }));
  return EXIT.done;
}

async function laterLook(before: NetworkStatus, look: () => Promise<NetworkStatus>) {
  const since = performance.now();
  await setTimeout(RATE_MS);
  const after = await look();
  return withRates(before, after, (performance.now() - since) / 1000);
}

/** Throws `bad-usage`. */
export function parseTop(text: string | undefined): number {
  if (text === undefined) return DEFAULT_TOP;
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw usageError(`Cannot show ${text} vassals: --top takes a whole number`);
}
