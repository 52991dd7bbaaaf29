/** Homes without a kernel that mounts: what is made of which home, and what is left as it is. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
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

test('an image is the home, whatever its vassal asks for', () => {
  putImage();
  expect(homes.find('blog')).toBe(join(directory, '.images/blog'));
  expect(homes.find('shop')).toBe(null);
});
