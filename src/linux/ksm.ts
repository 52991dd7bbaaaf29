/**
 * Kernel samepage merging: equal pages of programs that have asked for it are kept once
 * (Documentation/admin-guide/mm/ksm.rst, PR_SET_MEMORY_MERGE(2const)).
 */
import { release } from 'node:os';
import { join } from 'node:path';
import { readProc } from './proc.ts';

/** `forgotten`: what is asked for in front of an exec does not count behind it. */
export type KsmState = 'missing' | 'forgotten' | 'off' | 'on';

export interface Ksm {
  readonly state: KsmState;
  /** What would be used more if nothing were merged. */
  readonly savedBytes: number;
}

/** Why nothing is merged, for a person. */
export const KSM_FAILURES: Readonly<Record<KsmState, string | null>> = {
  missing: 'the kernel has no KSM (CONFIG_KSM)',
  forgotten: 'a program forgets it when it is started; Linux 6.7 and newer do not',
  off: 'the kernel merges nothing until 1 is written to /sys/kernel/mm/ksm/run',
  on: null,
};

const PAGE_BYTES = 4096;

export function readKsm({ sys = '/sys', kernelRelease = release() } = {}): Ksm {
  const read = (file: string) => readProc(join(sys, 'kernel/mm/ksm', file))?.trim();
  const savedBytes = Number(read('pages_sharing') ?? 0) * PAGE_BYTES;
  return { state: stateOf(read('run'), kernelRelease), savedBytes };
}

function stateOf(run: string | undefined, kernelRelease: string): KsmState {
  if (run === undefined) return 'missing';
  const [major = 0, minor = 0] = kernelRelease.split(/[.-]/).map(Number);
  if (major < 6 || (major === 6 && minor < 7)) return 'forgotten';
  return run === '1' ? 'on' : 'off';
}
