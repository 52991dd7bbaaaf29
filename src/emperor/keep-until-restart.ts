/** Which changes of emperor.ini wait for a restart of the emperor: what it opened by them stays open. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { EmperorConfig } from '../config/emperor-config.ts';
import { EMPEROR_OPTIONS } from '../config/options/emperor.ts';
import type { Settings } from './settings.ts';

/** Returns `after` with the values of `before` where a restart is needed, and the names of those keys. */
export function keepUntilRestart(
  before: Settings,
  after: Settings,
): { readonly settings: Settings; readonly postponed: readonly string[] } {
  const waiting = Object.entries(EMPEROR_OPTIONS)
    .filter(([, option]) => option.reload === 'restart')
    .filter(([field]) => !isDeepStrictEqual(fieldOf(before, field), fieldOf(after, field)));
  const kept = Object.fromEntries(waiting.map(([field]) => [field, fieldOf(before, field)]));
  return {
    settings: { ...after, config: { ...after.config, ...kept } },
    postponed: waiting.map(([, option]) => option.name),
  };
}

function fieldOf({ config }: Settings, field: string): unknown {
  // The table's keys are the configuration's fields; TypeScript cannot see that of a string.
  return config[field as keyof EmperorConfig];
}
