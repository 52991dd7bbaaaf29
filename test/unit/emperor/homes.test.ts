/** Homes without a kernel that mounts: what is made of which home, and what is left as it is. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SUPERBLOCK } from '../../../src/emperor/home-size.ts';
import { Homes, imagesDirectory } from '../../../src/emperor/homes.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { configOf } from '../../support/vassal-config.ts';

const SIZED = configOf('blog', { homeSize: 32 << 20 });

let directory: string;
let isJailed: boolean;
let homes: Homes;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-homes-'));
  isJailed = true;
  homes = new Homes({
    clock: new ManualClock(),
    directory,
    homeOf: ({ name }) => join(directory, name),
    insideOf: ({ name }) => `/home/${name}`,
    isJailed: () => isJailed,
    program: () => 'emperor-init',
  });
});
afterEach(() => rmSync(directory, { recursive: true }));

function putImage(): void {
  mkdirSync(imagesDirectory(directory));
  writeFileSync(homes.imageOf('blog'), '');
}

test('a vassal without home-size has nothing made, before a start and while it runs', async () => {
  const plain = configOf('blog');
  expect(homes.isSlow(plain)).toBe(false);
  expect(await homes.prepare(plain)).toEqual([]);
  expect(await homes.follow(plain, 1)).toEqual([]);
  expect(await homes.usage(plain, 1)).toBe(null);
  expect(homes.find('blog')).toBe(null);
  expect(existsSync(imagesDirectory(directory))).toBe(false);
});

test('a home that has files stays as it is, and why is told', async () => {
  mkdirSync(join(directory, 'blog'));
  writeFileSync(join(directory, 'blog/file'), 'precious');
  expect(homes.isSlow(SIZED)).toBe(true);
  expect(await homes.prepare(SIZED)).toMatchObject([{ key: 'home-size' }]);
  expect(homes.find('blog')).toBe(null);
});

test('a home without a mount namespace has no size; one that lies in an image does not start so', async () => {
  isJailed = false;
  const [unmet] = await homes.prepare(SIZED);
  expect(unmet?.reason).toContain('emperor-use-clone');
  putImage();
  await expect(homes.prepare(SIZED)).rejects.toMatchObject({
    code: 'start-failed',
    message: expect.stringMatching(/^Cannot start blog: .*emperor-use-clone$/),
  });
  await expect(homes.prepare(configOf('blog'))).rejects.toMatchObject({ code: 'start-failed' });
});

test('a start that has a whole image gone over counts as slow', () => {
  const plain = configOf('blog');
  putImage();
  expect(homes.isSlow(plain)).toBe(false);
  const mark = join(imagesDirectory(directory), '.growing-blog');
  writeFileSync(mark, '');
  expect(homes.isSlow(plain)).toBe(true);
  rmSync(mark);
  const superblock = Buffer.alloc(SUPERBLOCK.bytes);
  superblock.writeUInt16LE(3, 0x3a);
  writeFileSync(
    homes.imageOf('blog'),
    Buffer.concat([Buffer.alloc(SUPERBLOCK.offset), superblock]),
  );
  expect(homes.isSlow(plain)).toBe(true);
});

test('an image that cannot grow is the home as it is, and why is told', async () => {
  putImage();
  mkdirSync(join(imagesDirectory(directory), '.growing-blog'));
  expect(await homes.prepare(SIZED)).toMatchObject([
    { key: 'home-size', reason: expect.stringContaining('EISDIR') },
  ]);
});

test('what is there of a home are its image, and what was cut short', () => {
  const names = ['blog', '.growing-blog', '.new-blog'];
  expect(homes.filesOf('blog')).toEqual(names.map((name) => join(directory, '.images', name)));
});

test('an image is the home, whatever its vassal asks for', () => {
  putImage();
  expect(homes.find('blog')).toBe(join(directory, '.images/blog'));
  expect(homes.find('shop')).toBe(null);
});
