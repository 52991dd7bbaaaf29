/** `npm test` ends by itself and says what did not, since a kernel that hangs would keep it for ever. */
import { spawn } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ROOT } from '../support/newcomer.ts';
import { isAlive } from '../support/proc.ts';
import { until } from '../support/wait.ts';

/** A checkout of the test's own, with our runner and test files of its own. */
let checkout: string;
const path = (...names: readonly string[]) => join(checkout, ...names);

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), 'emperor-runner-'));
  for (const part of ['.ci', 'scripts', 'vitest.config.ts', 'package.json', 'test/skips.txt']) {
    cpSync(join(ROOT, part), path(part), { recursive: true });
  }
  for (const part of ['alarm-clock.ts', 'alarm-clock-worker.mjs', 'slowness.ts']) {
    cpSync(join(ROOT, 'test/support', part), path('test/support', part), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), path('node_modules'));
  write('unit/good', "import { test } from 'vitest'; test('is well', () => {});");
});
afterEach(() => rmSync(checkout, { recursive: true, force: true }));

function write(name: string, text: string): void {
  const file = path('test', `${name}.test.ts`);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
}

/** A test that runs `command` in the way that blocks its thread. */
const blockedBy = (command: string) => `
  import { execFileSync } from 'node:child_process';
  import { test } from 'vitest';
  test('is well first', () => {});
  test('never ends', () => {
    execFileSync('sh', ['-c', ${JSON.stringify(command)}], { stdio: 'inherit' });
  });
`;
/** The pid that such a command has written down. */
const sleeper = () => Number(readFileSync(path('sleeper'), 'utf8'));

interface Ended {
  readonly status: number | null;
  readonly output: string;
  readonly lastLine: string;
  readonly seconds: number;
}

function start(
  env: Readonly<Record<string, string>>,
  [program, ...args]: readonly [string, ...string[]] = [process.execPath, path('scripts/test.mjs')],
) {
  const strangers = Object.entries(process.env).filter(([key]) => !key.startsWith('VITEST'));
  return spawn(program, args, {
    env: { ...Object.fromEntries(strangers), NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs the runner to the end of all that holds its output. */
const run = (env: Readonly<Record<string, string>>) => endOf(start(env));

function endOf(child: ReturnType<typeof start>): Promise<Ended> {
  const before = performance.now();
  let output = '';
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  return new Promise((resolve) => {
    child.once('close', (status) => {
      const seconds = (performance.now() - before) / 1000;
      resolve({ status, output, lastLine: stdout.trimEnd().split('\n').at(-1) ?? '', seconds });
    });
  });
}

describe('npm test', () => {
  test('counts what passed and what failed', async () => {
    write('kernel/bad', "import { test } from 'vitest'; test('is ill', () => { throw 1; });");
    write('kernel/broken', 'this is no program');
    write('kernel/skipped', "import { test } from 'vitest'; test.skip('is left out', () => {});");
    const { status, output, lastLine } = await run({});
    expect(lastLine).toBe('1 passed, 3 failed');
    expect(status).toBe(1);
    expect(output).toContain('FAILED to run: test/kernel/broken.test.ts\n');
    expect(output).toContain('FAILED (new skip): test/kernel/skipped.test.ts > is left out\n');
  });

  test('runs the project alone that it is asked for', async () => {
    write('kernel/bad', "import { test } from 'vitest'; test('is ill', () => { throw 1; });");
    const unit = [process.execPath, path('scripts/test.mjs'), '--project=unit'] as const;
    expect(await endOf(start({}, unit))).toMatchObject({
      lastLine: '1 passed, 0 failed',
      status: 0,
    });
  });

  test('ends after its limit, names what had not ended, and waits for nothing that holds its output', async () => {
    // Of a session of its own, as a daemon is, so that nothing that ends the tests ends it.
    write('kernel/hangs', blockedBy(`setsid sleep 1000 & echo $! > sleeper; sleep 1000`));
    const { status, output, lastLine, seconds } = await run({ TEST_LIMIT_SECONDS: '6' });
    expect(isAlive(sleeper())).toBe(true);
    process.kill(sleeper(), 'SIGKILL');
    expect(output).toMatch(/^FAILED to end: test\/kernel\/hangs\.test\.ts/m);
    expect(output).toContain('FAILED: the tests had not ended after 6 s, and were killed\n');
    expect(lastLine).toMatch(/^[12] passed, 1 failed$/);
    expect(status).toBe(1);
    expect(seconds).toBeLessThan(10);
  });

  test('ends a test that blocks its thread, names it, and goes on with the next file', async () => {
    write('kernel/a-blocked', blockedBy('exec sleep 1000 >/dev/null 2>&1'));
    write('kernel/b-good', "import { test } from 'vitest'; test('is well, too', () => {});");
    const { status, output, lastLine } = await run({ TEST_BLOCKED_SECONDS: '2' });
    expect(output).toMatch(
      /^BLOCKED for 2 s, and ended: .*\/test\/kernel\/a-blocked\.test\.ts > never ends$/m,
    );
    expect(output).toMatch(/^FAILED to end: test\/kernel\/a-blocked\.test\.ts/m);
    expect(lastLine).toMatch(/^[23] passed, 1 failed$/);
    expect(status).toBe(1);
  });

  test('begins with no test where the kernel loads no system call filter', async () => {
    // What hangs in place of the kernel.
    writeFileSync(path('scripts/seccomp-check.mjs'), 'setInterval(() => {}, 1000);');
    const { status, output, lastLine } = await run({ TEST_LIMIT_SECONDS: '1' });
    expect(output).toMatch(
      /^FAILED before any test: the kernel loads no system call filter within 1 s; it hangs, and only a reboot helps$/m,
    );
    expect(lastLine).toBe('0 passed, 1 failed');
    expect(status).toBe(1);
  });

  test('has its closing line where it cannot even begin', async () => {
    rmSync(path('node_modules'));
    const { status, output, lastLine } = await run({});
    expect(output).toMatch(/^FAILED outside any test: .*ENOENT/m);
    expect(lastLine).toBe('0 passed, 1 failed');
    expect(status).toBe(1);
  });

  test('passes on that it shall end', async () => {
    write('kernel/hangs', blockedBy('echo $$ > sleeper; exec sleep 1000'));
    const runner = start({});
    const ended = endOf(runner);
    await until('the test runs', sleeperIsThere);
    runner.kill('SIGTERM');
    expect((await ended).lastLine).toMatch(/^[12] passed, 1 failed$/);
    expect(isAlive(sleeper())).toBe(false);
  });
});

describe('.ci/run', () => {
  const ci = () => endOf(start({}, [path('.ci/run')]));

  test('has the closing line where the set-up fails', async () => {
    writeFileSync(path('scripts/setup.mjs'), 'process.exit(3);');
    const { status, output, lastLine } = await ci();
    expect(output).toContain('set-up FAILED: status 3, ');
    expect(lastLine).toBe('0 passed, 1 failed');
    expect(status).toBe(1);
  });

  test('has it where what counts the tests is killed, and fails for what is no test', async () => {
    writeFileSync(path('scripts/setup.mjs'), '');
    writeFileSync(path('scripts/test.mjs'), "process.kill(process.pid, 'SIGKILL');");
    expect(await ci()).toMatchObject({ lastLine: '0 passed, 1 failed', status: 1 });
    writeFileSync(path('scripts/test.mjs'), "console.log('5 passed, 0 failed');");
    // This checkout has no types to check.
    expect(await ci()).toMatchObject({ lastLine: '5 passed, 0 failed', status: 1 });
  });
});

function sleeperIsThere(): boolean {
  try {
    return sleeper() > 0;
  } catch {
    // Not yet.
    return false;
  }
}
