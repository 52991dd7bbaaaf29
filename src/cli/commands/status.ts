/** `emperor status NAME`: one vassal, readable. */
import { systemClock } from '../../base/clock.ts';
import { formatDuration } from '../../base/units.ts';
import type { ProcessStatus, VassalStatus } from '../../emperor/governor.ts';
import { exitText } from '../../vassal/exit.ts';
import { type Call, onlyWord } from '../call.ts';
import { EXIT } from '../exit.ts';
import { trafficFacts } from '../network-text.ts';
import { paintFor, print, printJson } from '../output.ts';
import { type Paint, painter } from '../paint.ts';
import { printable } from '../printable.ts';
import { reach } from '../reach.ts';
import { stateColour, troubleOf } from '../states.ts';
import { usageFacts } from '../usage-text.ts';

export async function run(call: Call): Promise<number> {
  const { globals } = call;
  const vassal = await (await reach(globals)).status(onlyWord(call));
  if (globals.json) printJson(vassal);
  else print(await statusText(vassal, { nowMs: systemClock.now(), paint: paintFor(globals) }));
  return statusOfState(vassal);
}

/** A reload leaves the vassal running; every other state is "known, and not running". */
export function statusOfState({ state }: Pick<VassalStatus, 'state'>): number {
  return state === 'running' || state === 'reloading' ? EXIT.done : EXIT.notRunning;
}

interface Look {
  readonly nowMs: number;
  readonly paint?: Paint;
}

async function statusText(vassal: VassalStatus, look: Look): Promise<string> {
  const text = renderStatus(vassal, look);
  const diagnostics = [...vassal.config.diagnostics, ...(vassal.crontab?.diagnostics ?? [])];
  if (diagnostics.length === 0) return text;
  const { renderDiagnostics } = await import('../../config/render/diagnostics.ts');
  return `${text}\n${renderDiagnostics(diagnostics).trimEnd()}\n`;
}

/** Pure; without the diagnostics, which are rendered as `emperor check` does it. */
export function renderStatus(vassal: VassalStatus, look: Look): string {
  const paint = look.paint ?? painter(false);
  const head = `${vassal.name}  ${paint(stateColour(vassal.state), vassal.state)}`;
  const lines = factsOf(vassal, look.nowMs)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `  ${paint('dim', key.padEnd(11))} ${printable(value)}`);
  const processes = vassal.processes.map((process) => `    ${processLine(process)}`);
  const title = processes.length > 0 ? [`  ${paint('dim', 'processes')}`] : [];
  return `${[head, ...lines, ...title, ...processes].join('\n')}\n`;
}

function factsOf(vassal: VassalStatus, nowMs: number): readonly (readonly [string, string])[] {
  const { config, lastExit } = vassal;
  return [
    ['trouble', troubleOf(vassal, nowMs)],
    ['pid', vassal.pid === null ? '' : String(vassal.pid)],
    ['since', sinceText(vassal.startedAt, nowMs)],
    [
      'generation',
      `${vassal.generation}, restarts ${vassal.restarts}, failures ${vassal.failures}`,
    ],
    ['distro', vassal.distro ?? ''],
    ['hostname', vassal.hostname ?? ''],
    ['uid, gid', vassal.uid === null ? '' : `${vassal.uid}, ${vassal.gid}`],
    ['address', [vassal.address, vassal.address6].filter((each) => each !== null).join(', ')],
    ...usageFacts(vassal),
    ...trafficFacts(vassal.network),
    ['last exit', lastExit ? `${exitText(lastExit)} at ${lastExit.at}` : ''],
    ['last error', vassal.lastError ?? ''],
    ...vassal.daemons
      .filter(({ state }) => state !== 'running')
      .map(
        ({ label, state, lastError }) => ['daemon', daemonText(label, state, lastError)] as const,
      ),
    ['crontab', crontabText(vassal)],
    ['file', config.file ?? 'gone'],
    ['content', contentText(vassal)],
  ];
}

function daemonText(label: string, state: string, lastError: string | null): string {
  return lastError === null ? `${label}: ${state}` : `${label}: ${state}, ${lastError}`;
}

function sinceText(startedAt: string | null, nowMs: number): string {
  if (startedAt === null) return '';
  return `${startedAt} (${formatDuration(Math.max(0, nowMs - Date.parse(startedAt)))})`;
}

function crontabText({ crontab }: VassalStatus): string {
  if (!crontab || (crontab.jobs === 0 && crontab.diagnostics.length === 0)) return '';
  const errors = crontab.diagnostics.filter(({ severity }) => severity === 'error').length;
  const jobs = `${crontab.jobs} ${crontab.jobs === 1 ? 'job' : 'jobs'}`;
  return errors === 0 ? jobs : `${jobs}, ${errors} not understood`;
}

function contentText({ config }: VassalStatus): string {
  if (!config.valid) {
    return config.appliedSha256 === null
      ? 'invalid, and nothing else was applied'
      : 'invalid; the last good one stays in force';
  }
  if (config.appliedSha256 === null) return 'not applied yet';
  return config.appliedSha256 === config.sha256 ? 'applied' : 'differs from what runs';
}

function processLine({ pid, kind, label, state, command }: ProcessStatus): string {
  const number = pid === 0 ? '-' : String(pid);
  const note = state === 'running' ? '' : ` (${state})`;
  return printable(`${number.padStart(7)} ${kind} ${label}${note}  ${command.join(' ')}`);
}
