/** What a vassal uses and may use, in words. Pure. */
import { formatBytes, formatDuration } from '../base/units.ts';
import type { VassalStatus } from '../emperor/governor.ts';

type Fact = readonly [string, string];

/** Lines of `emperor status`; those that have nothing to say are empty. */
export function usageFacts(vassal: VassalStatus): readonly Fact[] {
  const { usage, limits, unmetLimits, alarms } = vassal;
  const { memoryBytes, cpuSeconds, pids } = usage;
  const limit = (key: string) => (typeof limits[key] === 'number' ? limits[key] : null);
  const memory = memoryBytes === null ? '' : formatBytes(memoryBytes);
  const cpu = cpuSeconds === null ? '' : formatDuration(cpuSeconds * 1000);
  const processors = limit('cpu-max');
  return [
    ['memory', atMost(memory, mapped(limit('memory-max'), formatBytes))],
    [
      'cpu time',
      atMost(
        cpu,
        mapped(processors, (share) => `${Math.round(share * 100)}% of a processor`),
      ),
    ],
    ['daily cpu', dailyCpuText(vassal)],
    ['tasks', atMost(pids === null ? '' : String(pids), mapped(limit('pids-max'), String))],
    ['home', homeText(vassal)],
    ...unmetLimits.map(({ key, reason }): Fact => ['not kept', `${key}: ${reason}`]),
    ...alarms.map(({ kind, count, at, processes }): Fact => {
      const times = count === 1 ? 'once' : `${count} times`;
      const who = processes.map(({ name, memoryBytes: size }) => `${name} ${formatBytes(size)}`);
      const what = kind === 'oom' ? `killed for memory ${times}` : `refused a process ${times}`;
      return [kind, `${what}, last at ${at}${who.length > 0 ? ` beside ${who.join(', ')}` : ''}`];
    }),
  ];
}

function homeText({ name, home }: VassalStatus): string {
  if (home === null) return '';
  const { bytes, sizeBytes, inodes, inodesMax, isReadOnly } = home;
  const how = `${formatBytes(bytes)} of ${formatBytes(sizeBytes)}, ${inodes} of ${inodesMax} files`;
  const remedy = `make room on the host, then \`emperor restart ${name}\``;
  return isReadOnly ? `${how}, read-only since its disk failed; ${remedy}` : how;
}

function dailyCpuText({ dailyCpu }: VassalStatus): string {
  if (!dailyCpu) return '';
  const { usedSeconds, budgetSeconds, isSpent, renewedAt } = dailyCpu;
  const used = `${formatDuration(usedSeconds * 1000)} of ${formatDuration(budgetSeconds * 1000)}`;
  return isSpent ? `${used}, in the tarpit until ${renewedAt}` : used;
}

function mapped(value: number | null, print: (value: number) => string): string {
  return value === null ? '' : print(value);
}

function atMost(used: string, limit: string): string {
  if (used === '' || limit === '') return used;
  return `${used} of ${limit}`;
}
