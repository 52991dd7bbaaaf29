/** What may happen to a directory of vassal files, and that nothing is stopped without evidence. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../support/wait.ts';
import { HOLD_MS, RESCAN_MS, shell, Watching } from '../support/watching.ts';

let world: Watching;

beforeEach(() => {
  world = new Watching();
});
afterEach(() => world.close());

const gone = () => world.sightings.filter(({ kind }) => kind === 'gone').map(({ name }) => name);

/** Long enough for any absence to be believed, were there evidence. */
const forAWhile = () => world.settleAfter(HOLD_MS * 3);

describe('Files that vanish', () => {
  test('one by one are gone at once', async () => {
    const names = world.fill(20);
    await world.start();
    for (const name of names.slice(0, 3)) unlinkSync(world.at(`vassals/${name}.ini`));
    await until('three are gone', () => gone().length === 3, 2000);
    expect(gone()).toEqual(names.slice(0, 3));
    expect(world.conditions).toEqual([]);
  });

  test('ten of ten are gone at once: a small host may be emptied', async () => {
    world.fill(10);
    await world.start();
    await shell('rm "$1"/*.ini', world.at('vassals'));
    await until('all are gone', () => gone().length === 10, 3000);
  });

  test('many, but few of all, are gone at once', async () => {
    world.fill(100);
    await world.start();
    await shell('rm "$1"/v1?.ini "$1"/v2?.ini', world.at('vassals'));
    await until('twenty are gone', () => gone().length === 20, 3000);
    expect(world.conditions).toEqual([]);
  });

  test('all at once are held, said, and gone after the hold', async () => {
    world.fill(20);
    await world.start();
    await shell('rm "$1"/*.ini', world.at('vassals'));
    await world.suffers('mass-removal');
    expect(world.conditions[0]?.message).toMatch(
      /^20 of 20 vassal files vanished at once from .* in 30 s unless the files come back$/,
    );
    await world.settleAfter(HOLD_MS - 2000);
    expect(gone()).toEqual([]);
    world.pass(2000);
    await until('all are gone', () => gone().length === 20);
    await world.suffers(undefined);
  });

  test('and come back within the hold never stopped anything', async () => {
    const names = world.fill(20);
    await world.start();
    mkdirSync(world.at('aside'));
    await shell('mv "$1"/*.ini "$2"', world.at('vassals'), world.at('aside'));
    await world.suffers('mass-removal');
    await shell('mv "$2"/*.ini "$1"', world.at('vassals'), world.at('aside'));
    await world.suffers(undefined);
    await forAWhile();
    expect(gone()).toEqual([]);
    for (const name of names) expect(world.storyOf(name)).toEqual([name]);
  });

  test('a few of which come back leave the others to the end of the hold', async () => {
    world.fill(20);
    await world.start();
    await shell('rm "$1"/*.ini', world.at('vassals'));
    await world.suffers('mass-removal');
    writeFileSync(world.at('vassals/v3.ini'), 'back');
    await world.hears('v3', 'back');
    expect(gone()).toEqual([]);
    world.pass(HOLD_MS);
    await until('the others are gone', () => gone().length === 19);
    expect(world.storyOf('v3')).toEqual(['v3', 'back']);
  });

  test('again, after one hold, are held again', async () => {
    world.fill(20);
    await world.start();
    await shell('rm "$1"/*.ini', world.at('vassals'));
    await world.suffers('mass-removal');
    world.pass(HOLD_MS);
    await until('all are gone', () => gone().length === 20);
    await world.suffers(undefined);
    world.forget();
    world.fill(20);
    await until('all are back', () => world.sightings.length === 20);
    await shell('rm "$1"/*.ini', world.at('vassals'));
    await world.suffers('mass-removal');
    expect(gone()).toEqual([]);
  });

  test('slowly, in the course of one rm, are one mass all the same', async () => {
    world.fill(60);
    await world.start();
    await shell('for f in "$1"/*.ini; do rm "$f"; done', world.at('vassals'));
    await world.suffers('mass-removal');
    // The first few may have gone before it was plain what happens.
    expect(gone().length).toBeLessThanOrEqual(10);
  });

  test('are gone when a rescan has returned, up to the hold', async () => {
    world.fill(100);
    const watch = await world.start();
    for (let i = 0; i < 15; i += 1) unlinkSync(world.at(`vassals/v${i}.ini`));
    await watch.rescan();
    expect(gone().length).toBe(15);
  });

  test('are gone when a look has returned', async () => {
    world.fill(3);
    const watch = await world.start();
    unlinkSync(world.at('vassals/v1.ini'));
    await watch.look('v1');
    expect(gone()).toEqual(['v1']);
  });
});

describe('A directory', () => {
  test('that is missing at the start is said, and read when it is there', async () => {
    await world.start();
    await world.suffers('directory-unreadable');
    world.fill(2);
    world.pass(RESCAN_MS);
    await world.hears('v1', 'v1');
    await world.suffers(undefined);
  });

  test('that is removed stops nothing; an empty one in its place stops nothing', async () => {
    world.fill(3);
    await world.start();
    rmSync(world.at('vassals'), { recursive: true });
    await world.suffers('directory-unreadable');
    await forAWhile();
    mkdirSync(world.at('vassals'));
    world.pass(RESCAN_MS);
    await world.suffersAlso('directory-replaced');
    await forAWhile();
    expect(gone()).toEqual([]);
    writeFileSync(world.at('vassals/v1.ini'), 'v1');
    await world.hears('v1', 'v1');
    world.pass(RESCAN_MS);
    await until('the others are gone', () => gone().length === 2);
    expect(gone().toSorted()).toEqual(['v0', 'v2']);
    await world.suffers(undefined);
  });

  test('that is renamed away and back stops nothing and goes on being watched', async () => {
    world.fill(3);
    await world.start();
    renameSync(world.at('vassals'), world.at('away'));
    await world.suffers('directory-unreadable');
    await forAWhile();
    renameSync(world.at('away'), world.at('vassals'));
    world.pass(RESCAN_MS);
    await world.suffers(undefined);
    writeFileSync(world.at('vassals/v1.ini'), 'new');
    await world.hears('v1', 'new');
    expect(gone()).toEqual([]);
  });

  test('that is replaced by rename is applied at once, and what it lacks is gone after the hold', async () => {
    world.fill(3);
    world.directory('next');
    writeFileSync(world.at('next/v0.ini'), 'v0');
    writeFileSync(world.at('next/v1.ini'), 'other');
    writeFileSync(world.at('next/new.ini'), 'new');
    await world.start();
    await shell('mv "$1" "$1.old"; mv "$2" "$1"', world.at('vassals'), world.at('next'));
    await world.hears('v1', 'other', 2000);
    await world.hears('new', 'new');
    expect(world.troubles()).toEqual(['directory-replaced']);
    await world.settleAfter(HOLD_MS - 5000);
    expect(gone()).toEqual([]);
    await world.settleAfter(HOLD_MS);
    await world.hears('v2', 'gone');
    await world.suffers(undefined);
    expect(gone()).toEqual(['v2']);
    expect(world.storyOf('v0')).toEqual(['v0', 'touched']);
    writeFileSync(world.at('vassals/v0.ini'), 'watched');
    await world.hears('v0', 'watched');
  });

  test('that was replaced by one with the same files still has its next mass removal held', async () => {
    world.fill(20);
    world.fill(20, 'next');
    await world.start();
    renameSync(world.at('vassals'), world.at('old'));
    renameSync(world.at('next'), world.at('vassals'));
    await world.suffersAlso('directory-replaced');
    // Fresh files are read by every scan, and a look at a file would hide what this is about.
    const { ctimeMs } = statSync(world.at('vassals/v19.ini'));
    await until('they are not fresh', () => Date.now() - ctimeMs > 100);
    await world.settleAfter(HOLD_MS);
    expect(world.troubles()).toEqual([]);
    // Nothing lacked, so nothing of the hold may be left.
    await shell('rm "$1"/*.ini', world.at('vassals'));
    await world.suffers('mass-removal');
    expect(gone()).toEqual([]);
  });

  test('that is a link which is turned to another directory is one replaced', async () => {
    world.fill(2, 'release-1');
    world.fill(3, 'release-2');
    symlinkSync('release-1', world.at('vassals'));
    await world.start();
    symlinkSync('release-2', world.at('new'));
    renameSync(world.at('new'), world.at('vassals'));
    world.pass(RESCAN_MS);
    await world.hears('v2', 'v2');
    await world.settleAfter(HOLD_MS);
    expect(world.troubles()).toEqual([]);
    writeFileSync(world.at('release-2/v2.ini'), 'watched');
    await world.hears('v2', 'watched');
  });

  test('whose path leads through a file proves nothing', async () => {
    world.directory('above/vassals');
    writeFileSync(world.at('above/vassals/x.ini'), 'text');
    await world.start({ directories: ['above/vassals'] });
    renameSync(world.at('above'), world.at('aside'));
    writeFileSync(world.at('above'), 'a file');
    world.pass(RESCAN_MS);
    await world.suffers('directory-unreadable');
    await forAWhile();
    expect(gone()).toEqual([]);
    unlinkSync(world.at('above'));
    renameSync(world.at('aside'), world.at('above'));
    world.pass(RESCAN_MS);
    await world.suffers(undefined);
    writeFileSync(world.at('above/vassals/x.ini'), 'new');
    await world.hears('x', 'new');
    expect(world.storyOf('x')).toEqual(['text', 'new']);
  });

  test('that vanishes between the loss of a file and its verdict proves nothing', async () => {
    world.fill(3);
    await world.start();
    unlinkSync(world.at('vassals/v1.ini'));
    renameSync(world.at('vassals'), world.at('away'));
    await world.suffers('directory-unreadable');
    await forAWhile();
    expect(gone()).toEqual([]);
  });
});

describe('A disk', () => {
  const mount = () =>
    execFileSync('mount', ['-t', 'tmpfs', 'emperor-test', world.directory('vassals')]);
  const unmount = () => execFileSync('umount', [world.at('vassals')]);
  const isMounted = () => {
    try {
      execFileSync('mountpoint', ['-q', world.at('vassals')]);
      return true;
    } catch {
      // Its exit status is the answer.
      return false;
    }
  };
  afterEach(() => {
    while (isMounted()) unmount();
  });

  test('that is unmounted stops nothing, whatever lies below; mounted again it is watched', async () => {
    world.directory();
    writeFileSync(world.at('vassals/below.ini'), 'must not be read');
    mount();
    world.fill(20);
    const watch = await world.start();
    // After this the look comes before the event of the unmount.
    await stat(world.root);
    unmount();
    await watch.look('below');
    await world.suffers('directory-unmounted', 2000);
    writeFileSync(world.at('vassals/v1.ini'), 'must not be read');
    await forAWhile();
    expect(world.sightings.length).toBe(20);
    mount();
    // A fresh tmpfs is another disk: it is believed like a directory that was replaced.
    for (const i of [0, 1, 2]) writeFileSync(world.at(`vassals/v${i}.ini`), `v${i}`);
    world.pass(RESCAN_MS);
    await world.suffers('directory-replaced');
    expect(gone()).toEqual([]);
    await world.settleAfter(HOLD_MS);
    await until('what it lacks is gone', () => gone().length === 17);
    await world.suffers(undefined);
    writeFileSync(world.at('vassals/v1.ini'), 'watched');
    await world.hears('v1', 'watched');
  });

  const mountImage = () => {
    const image = world.at('image');
    if (!existsSync(image)) {
      execFileSync('truncate', ['-s', '4M', image]);
      execFileSync('mkfs.ext4', ['-q', '-F', image]);
    }
    execFileSync('mount', ['-o', 'loop', image, world.directory('vassals')]);
  };

  test('that is away for a while and comes back as it was stops nothing and says nothing twice', async () => {
    mountImage();
    const names = world.fill(20);
    await world.start();
    unmount();
    await world.suffers('directory-unmounted');
    await forAWhile();
    mountImage();
    world.pass(RESCAN_MS);
    await world.suffers(undefined);
    writeFileSync(world.at('vassals/v1.ini'), 'new');
    await world.hears('v1', 'new');
    expect(gone()).toEqual([]);
    for (const name of names.slice(2)) expect(world.storyOf(name)).toEqual([name]);
  });

  test('that is away for an instant only is still watched', async () => {
    mountImage();
    world.fill(3);
    await world.start();
    unmount();
    mountImage();
    writeFileSync(world.at('vassals/v1.ini'), 'new');
    await world.hears('v1', 'new', 2000);
    writeFileSync(world.at('vassals/v1.ini'), 'newer');
    await world.hears('v1', 'newer', 2000);
    expect(world.sightings.length).toBe(5);
  });

  test('that is mounted over a directory in use is one replaced', async () => {
    world.fill(3);
    await world.start();
    mount();
    world.pass(RESCAN_MS);
    await world.suffers('directory-replaced');
    await forAWhile();
    expect(gone()).toEqual([]);
    unmount();
    world.pass(RESCAN_MS);
    await world.suffers(undefined);
    expect(world.sightings.length).toBe(3);
  });
});

describe('Names that an earlier emperor left running', () => {
  test('are gone if they have no file, and nothing is said of those that have', async () => {
    world.fill(2);
    await world.start({ expected: ['v0', 'orphan'] });
    await world.hears('orphan', 'gone');
    expect(gone()).toEqual(['orphan']);
  });

  test('are held if they are many', async () => {
    world.fill(2);
    const orphans = Array.from({ length: 15 }, (_, i) => `orphan${i}`);
    await world.start({ expected: orphans });
    await world.suffers('mass-removal');
    expect(gone()).toEqual([]);
    world.pass(HOLD_MS);
    await until('all are gone', () => gone().length === 15);
    await world.suffers(undefined);
  });

  test('wait for the directory that cannot be read, and for each that cannot', async () => {
    world.fill(2, 'good');
    await world.start({
      directories: ['good', 'bad', 'worse'],
      expected: ['v0', 'orphan', 'mine'],
    });
    await forAWhile();
    expect(gone()).toEqual([]);
    world.directory('bad');
    writeFileSync(world.at('bad/v7.ini'), 'v7');
    world.pass(RESCAN_MS);
    await world.hears('v7', 'v7');
    await forAWhile();
    expect(gone()).toEqual([]);
    world.directory('worse');
    writeFileSync(world.at('worse/mine.ini'), 'mine');
    world.pass(RESCAN_MS);
    await world.hears('mine', 'mine');
    await world.hears('orphan', 'gone');
    expect(gone()).toEqual(['orphan']);
  });

  test('whose file is still being written are not gone', async () => {
    world.directory('first');
    const fd = openSync(join(world.directory('second'), 'mine.ini'), 'w');
    await world.start({ directories: ['first', 'second'], expected: ['mine', 'orphan'] });
    await world.hears('orphan', 'gone');
    await forAWhile();
    writeSync(fd, 'mine');
    closeSync(fd);
    await world.hears('mine', 'mine');
    expect(gone()).toEqual(['orphan']);
  });

  test('come back with their file while they wait', async () => {
    await world.start({ directories: ['bad'], expected: ['orphan'] });
    world.directory('bad');
    writeFileSync(world.at('bad/orphan.ini'), 'text');
    world.pass(RESCAN_MS);
    await world.hears('orphan', 'text');
    await world.suffers(undefined);
    expect(gone()).toEqual([]);
  });
});
