/** What /proc says of processes, which may end at any moment. */
import { readdirSync, readFileSync } from 'node:fs';
import { readProc } from '../../src/linux/proc.ts';

export function allPids(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** The words of a process, with blanks between; empty once it has ended. */
export function commandOf(pid: number): string {
  return (readProc(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim();
}

/** True while a process of that number lives, be it stopped. */
export function isAlive(pid: number): boolean {
  const stat = readProc(`/proc/${pid}/stat`);
  return stat !== undefined && !/^\d+ \(.*\) Z/s.test(stat);
}

export function childrenOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
}

/** Signals a process that has to be there; by process.kill() 0 would be everybody in the test's own group. */
export function signal(pid: number | null | undefined, name: NodeJS.Signals): void {
  if (!pid) throw new Error(`there is no process to be sent ${name}`);
  process.kill(pid, name);
}

/** How often a process has run, whether it gave up the processor by itself or not. */
export function switchesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return [...status.matchAll(/ctxt_switches:\t(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
}
