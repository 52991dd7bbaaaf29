/** Several directories of vassal files: names that two of them have, and changes of emperor.ini. */
import { mkdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { VassalWatch } from '../../src/emperor/watch.ts';
import { until } from '../support/wait.ts';
import { HOLD_MS, RESCAN_MS, Watching } from '../support/watching.ts';

let world: Watching;
let watch: VassalWatch;

beforeEach(() => {
  world = new Watching();
  world.directory('first');
  world.directory('second');
});
afterEach(() => world.close());

const write = (path: string, text: string) => writeFileSync(world.at(`${path}.ini`), text);
const remove = (path: string) => unlinkSync(world.at(`${path}.ini`));
const use = (...names: readonly string[]) =>
  watch.setDirectories(names.map((name) => world.at(name)));

async function start(): Promise<void> {
  watch = await world.start({ directories: ['first', 'second'] });
}

describe('A name in two directories', () => {
  test('is that of the directory which stands first, and the other file is said to be ignored', async () => {
    write('first/x', 'one');
    write('second/x', 'two');
    await start();
    expect(world.storyOf('x')).toEqual(['one']);
    expect(world.conditions).toMatchObject([
      { kind: 'duplicate-name', directory: world.at('second'), active: true },
    ]);
    expect(world.conditions[0]?.message).toContain(`x.ini (of ${world.at('first')})`);
    write('second/x', 'changed');
    write('second/last', 'last');
    await world.hears('last', 'last');
    expect(world.storyOf('x')).toEqual(['one']);
  });

  test('passes to the other file, never gone, when the first is removed; and back', async () => {
    write('first/x', 'one');
    write('second/x', 'two');
    await start();
    remove('first/x');
    await world.hears('x', 'two');
    await world.suffers(undefined);
    write('first/x', 'three');
    await world.hears('x', 'three');
    await world.suffers('duplicate-name');
    remove('first/x');
    remove('second/x');
    await world.hears('x', 'gone');
    expect(world.storyOf('x').filter((word) => word === 'gone')).toEqual(['gone']);
    await world.suffers(undefined);
  });

  test('is not gone when the ignored file is removed', async () => {
    write('first/x', 'one');
    write('second/x', 'two');
    await start();
    remove('second/x');
    await world.suffers(undefined);
    expect(world.storyOf('x')).toEqual(['one']);
  });

  test('follows the first even where that is refused: nobody is given another text by a mistake', async () => {
    write('first/x', 'one\0');
    write('second/x', 'two');
    await start();
    expect(world.storyOf('x')).toEqual(['file-nul']);
  });

  test('passes to the other file as soon as that can be read', async () => {
    write('first/x', 'one');
    write('second/x', 'two');
    await start();
    renameSync(world.at('second'), world.at('away'));
    world.pass(RESCAN_MS);
    await world.suffersAlso('directory-unreadable');
    remove('first/x');
    await until('the loss is looked at', async () => {
      await watch.look('x');
      return true;
    });
    renameSync(world.at('away'), world.at('second'));
    world.pass(RESCAN_MS);
    await world.hears('x', 'two');
    expect(world.storyOf('x')).not.toContain('gone');
  });

  test('a thousand times is one condition a directory, naming some', async () => {
    world.fill(1000, 'first');
    world.fill(1000, 'second');
    await start();
    expect(world.troubles()).toEqual(['duplicate-name']);
    expect(world.conditions.at(-1)?.message).toMatch(
      / and 997 more; rename or remove one of each$/,
    );
    expect(world.conditions.at(-1)?.message.length).toBeLessThan(1000);
    expect(world.sightings.length).toBe(1000);
  });

  test('is one that moved: it is never gone in between', async () => {
    write('first/x', 'text');
    await start();
    renameSync(world.at('first/x.ini'), world.at('second/x.ini'));
    await until('it is told anew', () => world.storyOf('x').length === 2);
    await watch.rescan();
    renameSync(world.at('second/x.ini'), world.at('first/x.ini'));
    await until('it is told anew', () => world.storyOf('x').length >= 3);
    await watch.rescan();
    expect(world.storyOf('x')).not.toContain('gone');
  });
});

describe('Many files that move to another directory', () => {
  test('are no mass removal', async () => {
    const names = world.fill(30, 'first');
    await start();
    for (const name of names) {
      renameSync(world.at(`first/${name}.ini`), world.at(`second/${name}.ini`));
    }
    await watch.rescan();
    await until('all are told anew', () => world.sightings.length >= 60);
    expect(world.conditions.filter(({ kind }) => kind === 'mass-removal')).toEqual([]);
    for (const name of names) expect(world.storyOf(name)).not.toContain('gone');
  });
});

describe('setDirectories()', () => {
  test('partly M19: reads a directory that is added, and watches it', async () => {
    mkdirSync(world.at('third'));
    write('third/new', 'new');
    await start();
    await use('first', 'second', 'third');
    expect(world.storyOf('new')).toEqual(['new']);
    write('third/new', 'other');
    await world.hears('new', 'other');
  });

  test('takes the vassals of one that is dropped for removed, and reads it no more', async () => {
    write('first/stays', 'stays');
    write('second/goes', 'goes');
    await start();
    await use('first');
    expect(world.storyOf('goes')).toEqual(['goes', 'gone']);
    write('second/late', 'late');
    write('first/last', 'last');
    await world.hears('last', 'last');
    expect(world.storyOf('late')).toEqual([]);
    expect(world.storyOf('stays')).toEqual(['stays']);
  });

  test('holds the vassals of one that is dropped, if they are many; they stay if it comes back', async () => {
    const names = world.fill(20, 'second');
    await start();
    await use('first');
    await world.suffers('mass-removal');
    await use('first', 'second');
    await world.suffers(undefined);
    await world.settleAfter(HOLD_MS * 2);
    for (const name of names) expect(world.storyOf(name)).toEqual([name]);
    await use('first');
    await world.suffers('mass-removal');
    world.pass(HOLD_MS);
    await until('all are gone', () => names.every((name) => world.storyOf(name).at(-1) === 'gone'));
    await world.suffers(undefined);
  });

  test('that changes the order tells each shared name anew, by the one that wins now', async () => {
    write('first/x', 'one');
    write('second/x', 'two');
    await start();
    await use('second', 'first');
    expect(world.storyOf('x')).toEqual(['one', 'two']);
    expect(world.conditions.findLast(({ active }) => active)).toMatchObject({
      directory: world.at('first'),
    });
    await use('first', 'second');
    expect(world.storyOf('x')).toEqual(['one', 'two', 'one']);
  });

  test('that drops the winner tells the other file, never gone', async () => {
    write('first/x', 'one');
    write('second/x', 'two');
    await start();
    await use('second');
    await world.hears('x', 'two');
    await watch.rescan();
    expect(world.storyOf('x')).toEqual(['one', 'two']);
    expect(world.troubles()).toEqual([]);
  });

  test('called again before it has done its work ends with the last word', async () => {
    world.fill(3000, 'first');
    write('second/x', 'two');
    await start();
    world.directory('third');
    await Promise.all([use('first', 'second'), use('third')]);
    await world.settleAfter(HOLD_MS * 2);
    expect(world.storyOf('x')).toEqual(['two', 'gone']);
    await Promise.all([
      use('first'),
      use('first', 'second'),
      use('second'),
      use('first', 'second'),
    ]);
    await world.settleAfter(HOLD_MS * 2);
    expect(world.storyOf('x').at(-1)).toBe('two');
    expect(world.storyOf('v7').at(-1)).toBe('v7');
    write('first/v7', 'watched');
    await world.hears('v7', 'watched');
  });

  test('that drops a directory which cannot be read takes its vassals for removed', async () => {
    write('second/x', 'two');
    await start();
    renameSync(world.at('second'), world.at('away'));
    world.pass(RESCAN_MS);
    await world.suffers('directory-unreadable');
    await use('first');
    await world.hears('x', 'gone');
    await world.suffers(undefined);
  });
});

describe('A watch that is closed', () => {
  test('says nothing any more, and keeps nobody waiting', async () => {
    await start();
    watch.close();
    write('first/x', 'text');
    await Promise.all([watch.rescan(), watch.look('x'), use('first')]);
    expect(world.sightings).toEqual([]);
  });
});
