/**
 * Compiles the C programs of test/fixtures: statically by musl-gcc, so that they run in any root. What was compiled
 * is kept in build/fixtures by what it was made of, since most test files want all of them.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const FIXTURES = join(import.meta.dirname, '../fixtures');
const KEPT = resolve(import.meta.dirname, '../../build/fixtures');

/** musl brings no kernel headers; the machine's own come after everything of musl. */
const KERNEL_HEADERS = [
  '/usr/include',
  `/usr/include/${execFileSync('gcc', ['-print-multiarch'], { encoding: 'utf8' }).trim()}`,
].flatMap((path) => ['-idirafter', path]);
const FLAGS = [
  '-static',
  '-std=c11',
  '-D_GNU_SOURCE',
  '-O2',
  '-Wall',
  '-Wextra',
  '-Werror',
  ...KERNEL_HEADERS,
];

/** Compiles test/fixtures/NAME.c to `target`. */
export function compileFixture(name: string, target: string): void {
  const source = join(FIXTURES, `${name}.c`);
  const hash = createHash('sha256').update(FLAGS.join(' ')).update(readFileSync(source));
  const kept = join(KEPT, `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (!existsSync(kept)) compile(source, kept);
  copyFileSync(kept, target);
}

function compile(source: string, kept: string): void {
  mkdirSync(KEPT, { recursive: true });
  // Test files run at the same time.
  const temporary = `${kept}.${process.pid}`;
  execFileSync('musl-gcc', [...FLAGS, source, '-o', temporary], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  renameSync(temporary, kept);
}
