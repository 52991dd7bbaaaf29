/** The host's own tools, and whoever runs them being ended meanwhile. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runTool } from '../../src/base/run-tool.ts';
import { until } from '../support/emperor.ts';
import { readIfThere } from '../support/remains.ts';

const MODULE = resolve(import.meta.dirname, '../../dist/base/run-tool.js');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-tool-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const at = (name: string) => join(directory, name);

/** Starts a tool that works until it is told to go on, in a process that is then interrupted as by a terminal. */
async function interrupt(outlivesUs: boolean): Promise<void> {
  const tool = `echo $$ >${at('pid')}; mv ${at('pid')} ${at('begun')}
    while [ -d ${directory} ] && [ ! -e ${at('go')} ]; do sleep 0.05; done
    echo more; echo more >&2; echo >${at('done')}`;
  const program = `
    import { runTool } from '${MODULE}';
    process.on('SIGINT', () => process.exit(3));
    await runTool(['sh', '-c', ${JSON.stringify(tool)}], '', { outlivesUs: ${outlivesUs} });`;
  const args = ['--input-type=module', '-e', program];
  const child = spawn(process.execPath, args, { detached: true, stdio: 'ignore' });
  const exited = once(child, 'exit');
  await until('the tool is at work', () => existsSync(at('begun')));
  if (child.pid === undefined) throw new Error('there is no process');
  process.kill(-child.pid, 'SIGINT');
  expect(await exited).toEqual([3, null]);
}

test('a tool ends with us', async () => {
  await interrupt(false);
  const pid = Number(readFileSync(at('begun'), 'utf8'));
  await until('it ended', () => readIfThere(`/proc/${pid}/cmdline`) === '');
});

test('a tool that is to outlive us goes on to its end, though nobody reads what it says', async () => {
  await interrupt(true);
  writeFileSync(at('go'), '');
  await until('it is done', () => existsSync(at('done')));
});

test.each([false, true])(
  'a tool that is not there is told of (outlivesUs: %s)',
  async (outlivesUs) => {
    const failure = {
      code: 'not-supported',
      message: expect.stringContaining('there is no no-tool'),
    };
    await expect(runTool(['no-tool'], '', { outlivesUs })).rejects.toMatchObject(failure);
    expect(await runTool(['echo', '$x', 'a b'], '', { outlivesUs })).toBe('$x a b\n');
  },
);
