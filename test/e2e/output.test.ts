/** What vassals print, whatever becomes of the emperor and whatever they print. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';

const MIB = 1024 * 1024;
const COUNTS = "sh -c 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.002; done'";
/** The worst a terminal can be sent: a change of its title, an answer to a question, C1 by raw bytes. */
const NASTY = String.raw`sh -c 'printf "\033]0;owned\007\033[6n\233\000end\n" >&2; exec cat /dev/urandom'`;

let emperor: TestEmperor;

beforeAll(async () => {
  emperor = new TestEmperor();
  await emperor.start();
});
afterAll(() => emperor.close());

const lastOf = (name: string) => {
  const { text } = JSON.parse(emperor.cli('logs', name, '-n', '1', '--json').stdout || '{}');
  return Number(text ?? -1);
};

describe('the output of a vassal', () => {
  test('D3: loses no line while the emperor is killed, dead and started again', async () => {
    emperor.apply('counts', `[vassal]\ncommand = ${COUNTS}\n`);
    await until('it counts', () => lastOf('counts') >= 0);
    await emperor.signal('SIGKILL');
    const atDeath = lastOf('counts');
    await until('it counts on', () => lastOf('counts') > atDeath + 100);
    await emperor.start();
    const atStart = lastOf('counts');
    await until('it counts under the next one', () => lastOf('counts') > atStart + 100);
    const texts = emperor.cli('logs', 'counts', '--raw').stdout.trim().split('\n');
    expect(texts).toEqual(texts.map((_, number) => String(number)));
  });

  test('is bounded on disk under a flood of binary junk, which takes nothing from others', async () => {
    const limits = 'log-max-size = 1M\nlog-files = 2\n';
    emperor.apply('floods', `[vassal]\ncommand = ${NASTY}\n${limits}`);
    const directory = join(emperor.directory, 'log/floods');
    await until('the log rotates', () => readdirSync(directory).length >= 2);
    const before = lastOf('counts');
    await until('the other goes on', () => lastOf('counts') > before + 100);
    emperor.apply('late', '[vassal]\ncommand = sleep 1000\n');
    const sizes = readdirSync(directory).map((name) => statSync(join(directory, name)).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(2.2 * MIB);
    expect(emperor.status('floods').state).toBe('running');
  });

  test('is printed without one control character, junk or not', () => {
    // Else its log turns over faster than it can be read.
    expect(emperor.cli('freeze', 'floods').status).toBe(0);
    const raw = emperor.cli('logs', 'floods', '-n', '200', '--raw').stdout;
    const control = /(?![\t\n])\p{Cc}/u;
    expect(control.test(raw)).toBe(true);
    for (const flags of [[], ['--json']]) {
      const printed = emperor.cli('logs', 'floods', '-n', '200', ...flags).stdout;
      expect(printed.split('\n').length).toBeGreaterThan(100);
      expect(control.exec(printed)).toBeNull();
    }
  });
});
