/** D5, D6: whatever becomes of the directory of vassal files, what runs goes on until there is evidence that it shall not. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';

import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';

/** More than may vanish at once. */
const NAMES = Array.from({ length: 12 }, (_, i) => `v${i}`);
const sleeping = (seconds: number) => `[vassal]\ncommand = sleep ${seconds}\n`;

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);
const conditions = () => emperor.stats().conditions.join('\n');
const aside = () => join(emperor.directory, 'aside');

/** What would be another one if the vassal had been touched. */
function lifeOf(name: string) {
  const { state, pid, generation, startedAt, processes } = status(name);
  return {
    name,
    state,
    pid,
    generation,
    startedAt,
    commands: processes.map(({ pid: own }) => own),
  };
}
let lives: readonly ReturnType<typeof lifeOf>[];

/** Everybody but `names` is as at the beginning of the test. */
function expectUntouched(...names: readonly string[]): void {
  const others = lives.filter(({ name }) => !names.includes(name));
  expect(others.map(({ name }) => lifeOf(name))).toEqual(others);
}

/** The emperor says `condition`, and leaves everybody alone however often it looks. */
async function expectHeld(condition: RegExp): Promise<void> {
  emperor.rescan();
  await until(`${condition} is said`, () => condition.test(conditions()));
  for (let scan = 0; scan < 3; scan += 1) {
    emperor.rescan();
    expectUntouched();
  }
  expect(conditions()).toMatch(condition);
}

/** Edits reach the vassal again, and nothing is complained about. */
async function expectWatched(): Promise<void> {
  await until('nothing is said any more', () => conditions() === '');
  expectUntouched();
  emperor.apply('v0', sleeping(2000));
  expect(status('v0').processes[0]?.command).toEqual(['sleep', '2000']);
  emperor.apply('v0', sleeping(1000));
  expectUntouched('v0');
}

async function startWith(names: readonly string[]): Promise<void> {
  await emperor.start();
  for (const name of names) emperor.write(name, sleeping(1000));
  for (const name of names) emperor.wait(name, 'applied');
}

function noteLives(names: readonly string[]): void {
  lives = names.map(lifeOf);
  expect(lives.map(({ state }) => state)).toEqual(names.map(() => 'running'));
}

describe('running vassals stay as they are while their directory', () => {
  beforeAll(() => {
    emperor = new TestEmperor();
    return startWith(NAMES);
  });
  afterAll(() => emperor.close());
  beforeEach(() => noteLives(NAMES));

  test('is emptied: that is said and held, and files that come back were never away', async () => {
    for (const name of NAMES) emperor.remove(name);
    await expectHeld(/12 of 12 vassal files vanished at once from .*stopped in \d+ s unless/);
    for (const name of NAMES) emperor.write(name, sleeping(1000));
    await expectWatched();
  });

  test('M18: gets a file of another format, or with a name that no vassal can have: that is refused by name', async () => {
    const files = ['shop.json', 'shop.yml', 'Shop.ini'];
    for (const file of files) writeFileSync(join(emperor.vassals, file), '{}');
    writeFileSync(join(emperor.vassals, 'shop.ini.bak'), '');
    await expectHeld(/No vassals are made of these files/);
    expect(conditions()).toContain('shop.json (write it as an .ini file)');
    expect(conditions()).toContain('shop.yml (write it as an .ini file)');
    expect(conditions()).toContain('Shop.ini (a name is of a-z');
    expect(conditions()).not.toContain('bak');
    for (const file of files) unlinkSync(join(emperor.vassals, file));
    await expectWatched();
  });

  test('is removed, or a file or a loop of links in its place, so that nobody can read it', async () => {
    renameSync(emperor.vassals, aside());
    await expectHeld(/Cannot read .*vassals: ENOENT.*stay as they are/);
    writeFileSync(emperor.vassals, 'a file');
    await expectHeld(/Cannot read .*vassals: ENOTDIR.*stay as they are/);
    unlinkSync(emperor.vassals);
    symlinkSync(emperor.vassals, emperor.vassals);
    await expectHeld(/Cannot read .*vassals: ELOOP.*stay as they are/);
    unlinkSync(emperor.vassals);
    renameSync(aside(), emperor.vassals);
    await expectWatched();
  });

  test('is replaced by an empty one', async () => {
    renameSync(emperor.vassals, aside());
    mkdirSync(emperor.vassals);
    await expectHeld(/another directory than the one first opened and has no vassal file/);
    rmdirSync(emperor.vassals);
    renameSync(aside(), emperor.vassals);
    await expectWatched();
  });

  test('is replaced by another one, whose files count at once and whose gaps do not', async () => {
    renameSync(emperor.vassals, aside());
    mkdirSync(join(emperor.directory, 'other'));
    writeFileSync(join(emperor.directory, 'other/v1.ini'), sleeping(3000));
    renameSync(join(emperor.directory, 'other'), emperor.vassals);
    await until('its file is applied', () => status('v1').processes[0]?.command[1] === '3000');
    expect(conditions()).toMatch(
      /another directory.*vassals without a file are stopped after 30 s/,
    );
    expectUntouched('v1');
    rmSync(emperor.vassals, { recursive: true });
    renameSync(aside(), emperor.vassals);
    await until(
      'the first one counts again',
      () => status('v1').processes[0]?.command[1] === '1000',
    );
    lives = lives.map((life) => (life.name === 'v1' ? lifeOf('v1') : life));
    await expectWatched();
  });

  describe('is written to by somebody who takes three seconds', () => {
    /** Writes `parts` into the file with a second between them, and returns when it is closed. */
    async function writeSlowly(name: string, parts: readonly string[], meanwhile: () => void) {
      const file = openSync(emperor.file(name), 'w');
      try {
        for (const [at, part] of parts.entries()) {
          if (at > 0) await passingSecond(meanwhile);
          writeSync(file, part);
        }
      } finally {
        closeSync(file);
      }
    }

    /** The one thing here that is a time: the writer's. */
    async function passingSecond(meanwhile: () => void): Promise<void> {
      const end = performance.now() + 1000;
      await until('a second has passed', () => {
        meanwhile();
        return performance.now() >= end;
      });
    }

    // Each beginning of it would be a valid file; a second between two of them.
    const parts = ['[vassal]\n', 'command = sleep 4', '000\n', 'hostname = slow\n'];

    test('in place: nothing of it counts before it is whole', async () => {
      await writeSlowly('v2', parts, () => {
        expectUntouched();
        expect(status('v2').config).toMatchObject({ valid: true, diagnostics: [] });
      });
      emperor.wait('v2', 'applied');
      expect(status('v2')).toMatchObject({ hostname: 'slow', generation: 2, state: 'running' });
      expect(status('v2').processes[0]?.command).toEqual(['sleep', '4000']);
      expectUntouched('v2');
    });

    test('anew: it does not begin before it is whole', async () => {
      await writeSlowly('late', parts, () => {
        expect(emperor.list().filter(({ name, pid }) => name === 'late' && pid !== null)).toEqual(
          [],
        );
      });
      emperor.wait('late', 'applied');
      expect(status('late')).toMatchObject({ hostname: 'slow', generation: 1, state: 'running' });
      expectUntouched();
      emperor.remove('late');
      emperor.wait('late', 'gone');
    });
  });
});

describe('running vassals stay as they are while the disk with their directory', () => {
  const FEW = ['v0', 'v1', 'v2'];
  const disk = () => join(emperor.directory, 'disk');
  /** As the emperor sees the machine; the test's own view of the disk stays. */
  const inItsView = (...command: readonly string[]) =>
    execFileSync('nsenter', [`--mount=/proc/${emperor.pid}/ns/mnt`, ...command]);

  beforeAll(() => {
    emperor = new TestEmperor();
    // What nobody sees while the disk is there, and must not be taken for it.
    emperor.write('v0', sleeping(5000));
    emperor.write('below', sleeping(5000));
    mkdirSync(disk());
    execFileSync('mount', ['-t', 'tmpfs', emperor.netns, disk()]);
    execFileSync('mount', ['--bind', disk(), emperor.vassals]);
    return startWith(FEW);
  });
  afterAll(async () => {
    for (const path of [emperor.vassals, disk()]) execFileSync('umount', ['--lazy', path]);
    await emperor.close();
  });
  beforeEach(() => noteLives(FEW));

  test('is unmounted, whatever lies below; mounted again, what was edited meanwhile is applied', async () => {
    inItsView('umount', emperor.vassals);
    await expectHeld(/vassals is no longer mounted; its vassals stay as they are until it is back/);
    expect(emperor.list().map(({ name }) => name)).toEqual(FEW);
    emperor.write('v1', sleeping(3000));
    emperor.rescan();
    expectUntouched();
    inItsView('mount', '--bind', disk(), emperor.vassals);
    emperor.rescan();
    await until('the edit is applied', () => status('v1').processes[0]?.command[1] === '3000');
    expectUntouched('v1');
    lives = FEW.map(lifeOf);
    await expectWatched();
  });
});
