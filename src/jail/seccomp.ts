/** The system call filter that native/seccomp-profile.c made at build time. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NATIVE } from '../base/checkout.ts';
import { EmperorError, isErrno } from '../base/errors.ts';

/** sizeof(struct sock_filter). */
const INSTRUCTION_BYTES = 8;
/** BPF_MAXINSNS of linux/bpf_common.h. */
const MAX_INSTRUCTIONS = 4096;

/** Returns the filter as struct sock_filter[]; throws `not-supported` if it was not built. */
export function loadSeccompFilter(nativeDirectory = NATIVE): Uint8Array {
  const path = join(nativeDirectory, 'seccomp.bpf');
  const filter = readFilter(path);
  const count = filter.length / INSTRUCTION_BYTES;
  if (!Number.isInteger(count) || count === 0 || count > MAX_INSTRUCTIONS) {
    throw new EmperorError(
      'not-supported',
      `Cannot use the system call filter ${path}: ${filter.length} bytes are no filter; run \`npm run build\``,
    );
  }
  return filter;
}

function readFilter(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    const message = `Cannot find the system call filter: ${path} is missing; run \`npm run build\``;
    throw new EmperorError('not-supported', message, { cause: error });
  }
}
