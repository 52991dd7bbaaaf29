/**
 * A crontab as the vassal's own user reads and writes it, by a shell inside: whatever stands in a customer's home is
 * never opened by root. A write is a new file that takes the old one's name, so nobody sees half of it.
 */
import { spawnSync } from 'node:child_process';
import { EmperorError } from '../../base/errors.ts';
import { MAX_CRONTAB_BYTES } from '../../cron/crontab.ts';
import type { ExecTarget } from '../../emperor/governor.ts';
import { attachArguments } from '../attach.ts';

/** A FIFO would never end; a crontab that is too large is not shown whole, and refused when it is set. */
const READ = '[ ! -f "$1/crontab" ] || exec head -c "$2" -- "$1/crontab"';

/** Of a caller that dies meanwhile less comes than was said. */
const WRITE = `new=.crontab.$$
umask 077 && cd -- "$1" && rm -rf -- "$new" && set -C && cat > "$new" &&
  [ "$(wc -c < "$new")" -eq "$2" ] && mv -fT -- "$new" crontab && exit 0
rm -f -- "$new"
exit 1`;

/** Empty where there is none. */
export function readCrontab(target: ExecTarget): string {
  return run(target, { verb: 'read', script: READ, count: MAX_CRONTAB_BYTES + 1, input: '' });
}

export function writeCrontab(target: ExecTarget, text: string): void {
  run(target, { verb: 'write', script: WRITE, count: Buffer.byteLength(text), input: text });
}

interface Session {
  readonly verb: string;
  readonly script: string;
  /** Bytes; the script's second word. */
  readonly count: number;
  readonly input: string;
}

function run(target: ExecTarget, { verb, script, count, input }: Session): string {
  const command = ['/bin/sh', '-c', script, 'crontab', target.home, String(count)];
  const args = attachArguments(target, { label: 'crontab', kind: 'exec', hasTty: false, command });
  const done = spawnSync(target.program, args, { input, encoding: 'utf8' });
  if (done.status === 0) return done.stdout;
  const why = (done.error?.message ?? done.stderr).trim() || `status ${done.status}`;
  const message = `Cannot ${verb} ${target.home}/crontab inside the vassal: ${why}`;
  throw new EmperorError('exec-failed', message, { cause: done.error });
}
