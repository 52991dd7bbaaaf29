import { describe, expect, test } from 'vitest';
import {
  formatSource,
  keyringOf,
  parseListFile,
  parseSourcesFile,
  sourcesOfSuite,
} from '../../../src/distro/apt-sources.ts';

const DEB822 = `Types: deb deb-src
# a comment between fields
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://other.example/
Suites: bookworm
Components: main
`;

describe('parseListFile()', () => {
  test('reads one-line entries with options, and nothing else', () => {
    const text = [
      '# deb http://mirror.example/old buster main',
      'deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # why',
      'deb-src http://mirror.example/debian bookworm main',
      'deb http://mirror.example/security bookworm-security main',
    ].join('\n');
    expect(parseListFile(text).map(formatSource)).toEqual([
      'deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib',
      'deb http://mirror.example/security bookworm-security main',
    ]);
  });
});

describe('parseSourcesFile()', () => {
  test('makes one source of each address and suite, and leaves out disabled ones', () => {
    const key = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]';
    expect(parseSourcesFile(DEB822).map(formatSource)).toEqual([
      `deb ${key} http://mirror.example/debian bookworm main contrib`,
      `deb ${key} http://mirror.example/debian bookworm-updates main contrib`,
      `deb ${key} http://mirror.example/security bookworm-security main`,
    ]);
  });

  test('leaves out a key that is embedded in the file', () => {
    const text = `Types: deb\nURIs: http://m.example/\nSuites: x\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc=\n`;
    expect(parseSourcesFile(text)[0]?.options).toEqual([]);
  });
});

describe('sourcesOfSuite()', () => {
  const machine = [
    ...parseSourcesFile(DEB822),
    ...parseListFile('deb http://vendor.example/tools bookworm stable\n'),
  ];

  test('takes the suite with its updates, and no other vendor of the same suite name', () => {
    expect(sourcesOfSuite('bookworm', machine).map(({ uri, suite }) => `${uri} ${suite}`)).toEqual([
      'http://mirror.example/debian bookworm',
      'http://mirror.example/debian bookworm-updates',
      'http://mirror.example/security bookworm-security',
    ]);
  });

  test('takes another suite from the mirror of the machine’s own', () => {
    expect(sourcesOfSuite('trixie', machine)).toMatchObject([
      { uri: 'http://mirror.example/debian', suite: 'trixie', components: ['main'] },
    ]);
  });

  test('is empty on a machine that takes Debian from nowhere', () => {
    expect(sourcesOfSuite('bookworm', [])).toEqual([]);
  });
});

test('keyringOf() names the file that signs a source', () => {
  const [source] = parseSourcesFile(DEB822);
  expect(source && keyringOf(source)).toBe('/usr/share/keyrings/debian-archive-keyring.gpg');
});
