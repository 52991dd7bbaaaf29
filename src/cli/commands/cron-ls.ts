/** `emperor cron ls [NAME]`: jobs, one a line, with what holds them back in the last column; then what is wrong with crontabs. */
import { systemClock } from '../../base/clock.ts';
import { formatDuration } from '../../base/units.ts';
import type { CronJobStatus, VassalStatus } from '../../emperor/governor.ts';
import type { Call } from '../call.ts';
import { EXIT } from '../exit.ts';
import { print, printJson, tableStyle } from '../output.ts';
import { reach } from '../reach.ts';
import { type Cell, type Column, renderTable, type TableStyle } from '../table.ts';

export async function run({ words, globals }: Call): Promise<number> {
  const client = await reach(globals);
  const [name] = words;
  const jobs = await client.cronJobs(name);
  if (globals.json) {
    printJson(jobs);
    return EXIT.done;
  }
  print(renderJobs(jobs, { nowMs: systemClock.now(), style: tableStyle(globals) }));
  const vassals = name === undefined ? await client.list() : [await client.status(name)];
  print(await faultsOf(vassals));
  return EXIT.done;
}

async function faultsOf(vassals: readonly VassalStatus[]): Promise<string> {
  const diagnostics = vassals.flatMap(({ crontab }) => crontab?.diagnostics ?? []);
  if (diagnostics.length === 0) return '';
  const { renderDiagnostics } = await import('../../config/render/diagnostics.ts');
  return `\n${renderDiagnostics(diagnostics)}`;
}

/** Pure; `nowMs` is wall clock. */
export function renderJobs(
  jobs: readonly CronJobStatus[],
  { nowMs, style }: { readonly nowMs: number; readonly style?: TableStyle },
): string {
  const columns: readonly Column<CronJobStatus>[] = [
    { title: 'VASSAL', cell: ({ vassal }) => vassal },
    { title: 'SCHEDULE', cell: ({ schedule }) => schedule },
    { title: 'ZONE', cell: ({ timezone }) => timezone },
    { title: 'NEXT', cell: (job) => nextOf(job, nowMs), alignRight: true },
    { title: 'LAST', cell: (job) => agoOf(job, nowMs), alignRight: true },
    { title: 'TOOK', cell: ({ last }) => durationOf(last), alignRight: true },
    { title: 'EXIT', cell: exitOf },
    { title: 'COMMAND', cell: ({ command }) => command },
    { title: 'TROUBLE', cell: (job) => ({ text: troubleOf(job), colour: 'yellow' }) },
  ];
  return renderTable(jobs, columns, style);
}

function nextOf({ next, schedule }: CronJobStatus, nowMs: number): string {
  if (next === null) return schedule === '@reboot' ? 'at start' : 'never';
  return `in ${formatDuration(Math.max(0, Date.parse(next) - nowMs))}`;
}

function agoOf({ last }: CronJobStatus, nowMs: number): string {
  return last ? `${formatDuration(Math.max(0, nowMs - Date.parse(last.startedAt)))} ago` : '-';
}

function durationOf(last: CronJobStatus['last']): string {
  return last?.durationMs == null || last.error !== null ? '-' : formatDuration(last.durationMs);
}

function exitOf({ last, running }: CronJobStatus): string | Cell {
  if (running > 0) return running === 1 ? 'running' : `${running} running`;
  if (!last) return '-';
  if (last.error !== null) return { text: 'not started', colour: 'red' };
  const text = last.signal ?? String(last.code ?? '?');
  return last.code === 0 ? text : { text, colour: 'red' };
}

function troubleOf({ heldBack, waiting, last }: CronJobStatus): string {
  if (heldBack !== null) return heldBack;
  if (waiting) return 'waits for an end of others';
  return last?.error ?? '';
}
