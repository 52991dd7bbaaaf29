/** What a machine must have for `home-size`. */
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../base/errors.ts';
import { SHELL_PATH } from '../base/run-tool.ts';

const TOOLS = ['mkfs.ext4', 'e2fsck', 'resize2fs'];
const LOOP_CONTROL = '/dev/loop-control';

export interface Lack {
  readonly what: string;
  readonly fix: string;
}

/** What is lacking; null if nothing is. */
export function lackForImages(): Lack | null {
  const missing = TOOLS.find((tool) => !hasTool(tool));
  if (missing) return { what: `there is no ${missing}`, fix: '`apt-get install e2fsprogs`' };
  try {
    closeSync(openSync(LOOP_CONTROL, constants.O_RDWR));
    return null;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const what = `there are no loop devices (${LOOP_CONTROL}: ${error.code})`;
    return { what, fix: '`modprobe loop`, or give this container loop devices' };
  }
}

function hasTool(tool: string): boolean {
  return SHELL_PATH.split(':').some((directory) => existsSync(join(directory, tool)));
}
