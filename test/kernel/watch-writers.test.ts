/** How people and programs write vassal files, and what the watch makes of it: whole texts, each once. */
import { spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { patienceMs } from '../support/slowness.ts';
import { until } from '../support/wait.ts';
import { RESCAN_MS, shell, Watching } from '../support/watching.ts';

let world: Watching;
let file: string;

beforeEach(async () => {
  world = new Watching();
  world.directory();
  file = world.at('vassals/blog.ini');
});
afterEach(() => world.close());

/** Starts to watch a directory in which `blog` has been reported already. */
async function startWith(text: string): Promise<void> {
  writeFileSync(file, text);
  await world.start();
  expect(world.storyOf('blog')).toEqual([text]);
  world.forget();
}

/** Everything that was written before this call has been looked at when it resolves. */
async function allIsSeen(): Promise<void> {
  world.put('vassals/last.ini', 'last');
  await world.hears('last', 'last');
}

describe('A writer', () => {
  test('that renames into place is heard at once, with old or new text, nothing else', async () => {
    await world.start();
    for (const text of ['one', 'two', 'three']) {
      world.put('vassals/blog.ini', text);
      await world.hears('blog', text);
    }
    expect(world.storyOf('blog')).toEqual(['one', 'two', 'three']);
  });

  test('that renames another vassal file over one takes the other away', async () => {
    await startWith('old');
    world.put('vassals/shop.ini', 'new');
    await world.hears('shop', 'new');
    renameSync(world.at('vassals/shop.ini'), file);
    await world.hears('blog', 'new');
    await world.hears('shop', 'gone');
    expect(world.storyOf('blog')).toEqual(['new']);
  });

  test('that keeps the file open for three seconds is never half applied, and applied at once after its close', async () => {
    await startWith('old');
    const writer = spawn('python3', [
      '-c',
      `import sys, time
with open(sys.argv[1], 'w') as f:
  for i in range(30):
    f.write('line %d\\n' % i)
    f.flush()
    time.sleep(0.1)`,
      file,
    ]);
    const closedAt = new Promise<number>((resolve) =>
      writer.once('exit', () => resolve(performance.now())),
    );
    const whole = Array.from({ length: 30 }, (_, i) => `line ${i}\n`).join('');
    await world.hears('blog', whole);
    expect(performance.now() - (await closedAt)).toBeLessThan(patienceMs(1000));
    expect(world.storyOf('blog')).toEqual([whole]);
  });

  test('that makes a new file slowly is not heard of before it is done', async () => {
    await world.start();
    const fd = openSync(file, 'w');
    writeSync(fd, 'half ');
    await allIsSeen();
    expect(world.storyOf('blog')).toEqual([]);
    writeSync(fd, 'whole');
    closeSync(fd);
    await world.hears('blog', 'half whole');
    expect(world.storyOf('blog')).toEqual(['half whole']);
  });

  test('that is held up before it opens its new file is not heard of with nothing in it', async () => {
    await world.start();
    closeSync(openSync(file, 'w'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    writeFileSync(file, 'whole');
    await world.hears('blog', 'whole');
    expect(world.storyOf('blog')).toEqual(['whole']);
  });

  test('that leaves its new file empty is heard all the same', async () => {
    await world.start();
    closeSync(openSync(file, 'w'));
    await world.hears('blog', '');
    expect(world.storyOf('blog')).toEqual(['']);
  });

  test('that gives up and removes its new file was never there', async () => {
    await world.start();
    const fd = openSync(file, 'w');
    await allIsSeen();
    closeSync(fd);
    unlinkSync(file);
    await allIsSeen();
    expect(world.storyOf('blog')).toEqual([]);
  });

  test('that edits twice within a second, with the same size, is heard twice', async () => {
    await startWith('aaaa');
    writeFileSync(file, 'bbbb');
    await world.hears('blog', 'bbbb');
    writeFileSync(file, 'cccc');
    await world.hears('blog', 'cccc');
    expect(world.storyOf('blog')).toEqual(['bbbb', 'cccc']);
  });

  test('that restores old content with its old times (cp -p) is heard', async () => {
    writeFileSync(file, 'old');
    utimesSync(file, 1000, 1000);
    await shell('cp -p "$1" "$2"', file, world.at('saved'));
    await world.start();
    world.put('vassals/blog.ini', 'new');
    await world.hears('blog', 'new');
    await shell('cp -p "$1" "$2"', world.at('saved'), file);
    await world.hears('blog', 'old');
    expect(world.storyOf('blog')).toEqual(['old', 'new', 'old']);
  });

  test('that only touches the file is heard as that', async () => {
    await startWith('text');
    await shell('touch "$1"', file);
    await world.hears('blog', 'touched');
    world.put('vassals/blog.ini', 'text');
    await until('heard again', () => world.storyOf('blog').length === 2);
    await shell('cp -p "$1" "$1.new"; mv "$1.new" "$1"', file);
    await until('heard again', () => world.storyOf('blog').length === 3);
    expect(world.storyOf('blog')).toEqual(['touched', 'touched', 'touched']);
  });

  test('that adds a hard link changes nothing', async () => {
    await startWith('text');
    linkSync(file, world.at('link'));
    await allIsSeen();
    expect(world.storyOf('blog')).toEqual([]);
    unlinkSync(world.at('link'));
    await allIsSeen();
    expect(world.storyOf('blog')).toEqual([]);
  });

  test('that changes a file by its other hard link is heard by the scan', async () => {
    writeFileSync(world.at('elsewhere'), 'text');
    linkSync(world.at('elsewhere'), file);
    await world.start();
    writeFileSync(world.at('elsewhere'), 'other');
    world.pass(RESCAN_MS);
    await world.hears('blog', 'other');
  });

  test('that gives the file to somebody else, or opens it to all, is heard with the new facts', async () => {
    await startWith('text');
    await shell('chown 1234:1235 "$1"', file);
    await until('the owner', () => world.lastPresent('blog')?.owner.uid === 1234);
    await shell('chmod 0666 "$1"', file);
    await until('the mode', () => world.lastPresent('blog')?.owner.mode === 0o666);
    expect(world.lastPresent('blog')).toMatchObject({
      touched: false,
      owner: { uid: 1234, gid: 1235, mode: 0o666 },
    });
  });

  test('that removes and makes the file anew at once never stops its vassal', async () => {
    await startWith('text');
    unlinkSync(file);
    writeFileSync(file, 'new');
    await world.hears('blog', 'new');
    expect(world.storyOf('blog')).toEqual(['new']);
  });

  test('that writes without a pause does not keep a look waiting', async () => {
    const watch = await world.start();
    const writer = spawn('python3', [
      '-c',
      `import sys
while True:
  with open(sys.argv[1], 'w') as f: f.write('x')`,
      file,
    ]);
    try {
      await until('it writes', () => statSync(file, { throwIfNoEntry: false }));
      const start = performance.now();
      await watch.look('blog');
      await watch.rescan();
      expect(performance.now() - start).toBeLessThan(patienceMs(5000));
    } finally {
      writer.kill();
      await new Promise((resolve) => writer.once('exit', resolve));
    }
  });
});

describe('An editor', () => {
  const vim = (command: string) =>
    shell(
      '$(command -v vim || echo vim.tiny) -n -Nu NONE -es "$1" -c "$2" -c wq </dev/null',
      file,
      command,
    );

  test.each([
    ['vim, writing in place', 'set nobackup nowritebackup | %s/old/new/'],
    ['vim, renaming the old file away', 'set backupcopy=no backup | %s/old/new/'],
    ['vim, copying a backup', 'set backupcopy=yes backup | %s/old/new/'],
  ])('%s, is heard once and leaves no vassal of its own', async (_, command) => {
    await startWith('old\n');
    await vim(command);
    await world.hears('blog', 'new\n');
    await allIsSeen();
    expect(world.sightings.map(({ name }) => name)).toEqual(['blog', 'last']);
  });

  test('sed -i is heard once', async () => {
    await startWith('old\n');
    await shell('sed -i s/old/new/ "$1"', file);
    await world.hears('blog', 'new\n');
    await allIsSeen();
    expect(world.sightings.map(({ name }) => name)).toEqual(['blog', 'last']);
  });

  test('that renames the file to a backup and writes a new one does not stop the vassal', async () => {
    await startWith('old');
    renameSync(file, `${file}~`);
    const fd = openSync(file, 'wx');
    writeSync(fd, 'new');
    fsyncSync(fd);
    closeSync(fd);
    unlinkSync(`${file}~`);
    await world.hears('blog', 'new');
    expect(world.storyOf('blog')).toEqual(['new']);
  });

  test('partly M19: leaves files that are no vassals: hidden ones, backups, swap files, foreign endings', async () => {
    await world.start();
    const strangers = [
      '.blog.ini',
      '.blog.ini.swp',
      'blog.ini~',
      '#blog.ini#',
      'blog.ini.tmp',
      'blog.ini.dpkg-new',
      'blog.conf',
      'BLOG.ini',
      'a b.ini',
      `${'x'.repeat(64)}.ini`,
      '.ini',
      '4913',
      'bl\u00f6g.ini',
    ];
    for (const name of strangers) writeFileSync(world.at(`vassals/${name}`), 'text');
    mkdirSync(world.at('vassals/sub'));
    copyFileSync(world.at('vassals/blog.conf'), world.at('vassals/sub/deep.ini'));
    await allIsSeen();
    expect(world.sightings.map(({ name }) => name)).toEqual(['last']);
    await (await world.start()).rescan();
    expect(world.sightings.map(({ name }) => name)).toEqual(['last', 'last']);
  });
});
