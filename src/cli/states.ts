/** How states and troubles of vassals look to people. Pure. */
import { formatDuration } from '../base/units.ts';
import type { VassalState, VassalStatus } from '../emperor/governor.ts';
import { exitText } from '../vassal/exit.ts';
import type { Colour } from './paint.ts';

const COLOURS: Readonly<Record<VassalState, Colour>> = {
  running: 'green',
  frozen: 'cyan',
  starting: 'yellow',
  reloading: 'yellow',
  stopping: 'yellow',
  stopped: 'dim',
  backoff: 'red',
  failed: 'red',
};

export function stateColour(state: VassalState): Colour {
  return COLOURS[state];
}

/** One line: what is wrong with a vassal; empty where nothing is. */
export function troubleOf(vassal: VassalStatus, nowMs: number): string {
  const ofConfig = configTrouble(vassal);
  const ofRun = runTrouble(vassal);
  // A vassal that failed because of its file says the same twice.
  const parts = ofConfig.includes(ofRun) ? [ofConfig] : [ofConfig, ofRun];
  return [...parts, nextAttempt(vassal, nowMs)].filter((part) => part !== '').join('; ');
}

function configTrouble({ config }: VassalStatus): string {
  if (config.valid) return '';
  const first = config.diagnostics.find(({ severity }) => severity === 'error');
  if (!first) return 'its file is invalid';
  return `line ${first.line}: ${first.message}`;
}

function runTrouble({ state, lastError, lastExit }: VassalStatus): string {
  if (state !== 'backoff' && state !== 'failed') return '';
  return lastError ?? (lastExit ? `its command ended: ${exitText(lastExit)}` : '');
}

function nextAttempt({ state, nextAttemptAt }: VassalStatus, nowMs: number): string {
  if (state !== 'backoff' || nextAttemptAt === null) return '';
  return `next attempt in ${formatDuration(Math.max(0, Date.parse(nextAttemptAt) - nowMs))}`;
}
