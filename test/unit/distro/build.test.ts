import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { proxyEnvironment } from '../../../src/distro/apt-config.ts';
import { addDistro, debootstrapArguments, mmdebstrapArguments } from '../../../src/distro/build.ts';
import { listDistros, removeDistro, verifyDistro } from '../../../src/distro/keep.ts';

const BUILD = {
  suite: 'bookworm',
  fresh: '/distros/.web.new',
  sources: [
    {
      uri: 'http://mirror.example/debian',
      suite: 'bookworm',
      components: ['main'],
      options: ['signed-by=/k.gpg'],
    },
  ],
  packages: ['curl', 'python3'],
};

test('mmdebstrapArguments() names the machine’s own mirror and how it is reached', () => {
  const options = ['Acquire::http::Proxy "http://proxy.example:3128";'];
  const args = mmdebstrapArguments({ ...BUILD, options });
  expect(args).toContain('--include=curl,python3');
  expect(args).toContain(`--aptopt=${options[0]}`);
  expect(args.slice(-3)).toEqual([
    'bookworm',
    '/distros/.web.new',
    'deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main',
  ]);
});

test('debootstrapArguments() takes one mirror and its keyring', () => {
  expect(debootstrapArguments(BUILD)).toEqual([
    '--variant=minbase',
    '--include=curl,python3',
    '--keyring=/k.gpg',
    'bookworm',
    '/distros/.web.new',
    'http://mirror.example/debian',
  ]);
});

test('proxyEnvironment() finds proxies and nothing else', () => {
  const options = [
    'Acquire::http::Proxy "http://proxy.example:3128";',
    'Acquire::https::Verify-Peer "true";',
  ];
  expect(proxyEnvironment(options)).toEqual({ http_proxy: 'http://proxy.example:3128' });
});

describe('a directory of distros', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'emperor-distros-'));
    for (const name of ['web', 'mail', '.half.new']) mkdirSync(join(directory, name));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('listDistros() names them in order and leaves out builds under way', () => {
    expect(listDistros(directory).map(({ name }) => name)).toEqual(['mail', 'web']);
    expect(listDistros(join(directory, 'nowhere'))).toEqual([]);
  });

  test('addDistro() refuses a name that is taken', async () => {
    await expect(addDistro({ directory, name: 'web' })).rejects.toMatchObject({ code: 'conflict' });
  });

  test.each(['../web', '', '.web', 'a/b', 'Web'])('no function takes the name %j', async (name) => {
    const refusal = { code: 'bad-usage' };
    await expect(addDistro({ directory, name })).rejects.toMatchObject(refusal);
    await expect(removeDistro({ directory, name })).rejects.toMatchObject(refusal);
    expect(() => verifyDistro(directory, name)).toThrow(/small letters/);
  });

  test('removeDistro() refuses while a vassal names it, and removes it after', async () => {
    await expect(removeDistro({ directory, name: 'web', usedBy: ['blog'] })).rejects.toMatchObject({
      code: 'in-use',
      message: 'Cannot remove distro web: it is the distro of blog',
    });
    await removeDistro({ directory, name: 'web' });
    expect(listDistros(directory).map(({ name }) => name)).toEqual(['mail']);
    await expect(removeDistro({ directory, name: 'web' })).rejects.toMatchObject({
      code: 'no-such-distro',
    });
  });
});
