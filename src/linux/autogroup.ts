/**
 * autogroups (sched(7)): sessions share the cpu as wholes, each as one process of its nice value would. So one
 * emperor among a thousand vassals that start would get a thousandth.
 */
import { writeFileSync } from 'node:fs';
import { isSystemError } from '../base/errors.ts';
import { readStat } from './proc.ts';

const AUTOGROUP = '/proc/self/autogroup';
const NICE = -10;

/**
 * Lets this process's session go before others. Not inherited: each vassal, and the launcher, is a session of
 * its own. Does nothing where others are in our session, such as the shell that started us, where the kernel
 * has no autogroups or we may not; within a cgroup of the cpu controller it has no effect.
 */
export function preferOwnSession(): void {
  if (readStat(process.pid)?.session !== process.pid) return;
  try {
    writeFileSync(AUTOGROUP, String(NICE));
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}
