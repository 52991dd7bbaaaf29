import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const MODULE = resolve(import.meta.dirname, '../../../dist/linux/autogroup.js');
const HAS_AUTOGROUPS = existsSync('/proc/self/autogroup');
/** Prints its own autogroup and that of a session that it starts afterwards. */
const PROGRAM = `
  import { execFileSync } from 'node:child_process';
  import { existsSync, readFileSync } from 'node:fs';
  import { preferOwnSession } from '${MODULE}';
  preferOwnSession();
  process.stdout.write(readFileSync('/proc/self/autogroup'));
  process.stdout.write(execFileSync('setsid', ['--wait', 'cat', '/proc/self/autogroup']));
`;

/** Nice values of the autogroups that PROGRAM prints. */
function niceValues(...wrapper: readonly string[]): readonly number[] {
  const [file = '', ...args] = [...wrapper, process.execPath, '--input-type=module', '-e', PROGRAM];
  const text = execFileSync(file, args, { encoding: 'utf8' });
  return [...text.matchAll(/nice (-?\d+)/g)].map(([, nice]) => Number(nice));
}

test.runIf(HAS_AUTOGROUPS)(
  'a session of its own goes before others, and those it starts do not',
  () => {
    expect(niceValues('setsid', '--wait')).toEqual([-10, 0]);
  },
);

test.runIf(HAS_AUTOGROUPS)('a session that others are in is left as it is', () => {
  const [, ours] = /nice (-?\d+)/.exec(readFileSync('/proc/self/autogroup', 'utf8')) ?? [];
  expect(niceValues()).toEqual([Number(ours), 0]);
});
