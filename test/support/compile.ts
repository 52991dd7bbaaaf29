/** Compiles the C programs of test/fixtures: statically by musl-gcc, so that they run in any root. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export const FIXTURES = join(import.meta.dirname, '../fixtures');

/** musl brings no kernel headers; the machine's own come after everything of musl. */
const KERNEL_HEADERS = [
  '/usr/include',
  `/usr/include/${execFileSync('gcc', ['-print-multiarch'], { encoding: 'utf8' }).trim()}`,
].flatMap((path) => ['-idirafter', path]);

/** Compiles test/fixtures/NAME.c to `target`. */
export function compileFixture(name: string, target: string): void {
  execFileSync(
    'musl-gcc',
    [
      '-static',
      '-std=c11',
      '-D_GNU_SOURCE',
      '-O2',
      '-Wall',
      '-Wextra',
      '-Werror',
      ...KERNEL_HEADERS,
      join(FIXTURES, `${name}.c`),
      '-o',
      target,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
}
