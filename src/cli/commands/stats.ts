/** `emperor stats`: the figures of the emperor. */

import { systemClock } from '../../base/clock.ts';
import { formatBytes, formatDuration } from '../../base/units.ts';
import type { EmperorStats } from '../../emperor/governor.ts';
import type { Call } from '../call.ts';
import { EXIT } from '../exit.ts';
import { routerText } from '../network-text.ts';
import { print, printJson } from '../output.ts';
import { printable } from '../printable.ts';
import { reach } from '../reach.ts';
import { sayDiagnostics } from '../report.ts';

export async function run({ globals }: Call): Promise<number> {
  const stats = await (await reach(globals)).stats();
  if (globals.json) {
    printJson(stats);
    return EXIT.done;
  }
  print(renderStats(stats, systemClock.now()));
  await sayDiagnostics(stats.diagnostics);
  return EXIT.done;
}

/** Pure. */
export function renderStats(stats: EmperorStats, nowMs: number): string {
  const { eventLoopDelayMs, launcher } = stats;
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  const counts = Object.entries(stats.vassals).filter(([, count]) => count > 0);
  const facts: readonly (readonly [string, string])[] = [
    ['version', stats.version],
    ['pid', String(stats.pid)],
    ['uptime', formatDuration(Math.max(0, nowMs - Date.parse(stats.startedAt)))],
    ['vassals', counts.map(([state, count]) => `${count} ${state}`).join(', ') || 'none'],
    ['memory', formatBytes(stats.memoryRssBytes)],
    ['cpu', `${stats.cpuSeconds.toFixed(2)} s`],
    [
      'event loop',
      `delay p50 ${ms(eventLoopDelayMs.p50)}, p99 ${ms(eventLoopDelayMs.p99)}, max ${ms(eventLoopDelayMs.max)}`,
    ],
    ['launcher', launcher.pid === null ? 'none' : `pid ${launcher.pid}`],
    ...(stats.router ? [['router', routerText(stats.router)] as const] : []),
    ...(stats.ksm.state === 'on'
      ? [['ksm', `saves ${formatBytes(stats.ksm.savedBytes)}`] as const]
      : []),
    ['emperor.ini', stats.ini],
    ['run-dir', stats.runDir],
    ['state-dir', stats.stateDir],
    ['log-dir', stats.logDir],
    ...Object.entries(stats.counters).map(([key, value]) => [key, String(value)] as const),
    ...stats.conditions.map((condition) => ['condition', condition] as const),
  ];
  return facts.map(([key, value]) => `${key.padEnd(12)} ${printable(value)}\n`).join('');
}
