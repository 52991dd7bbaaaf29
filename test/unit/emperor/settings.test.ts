import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EmperorError } from '../../../src/base/errors.ts';
import { SettingsFile } from '../../../src/emperor/settings.ts';
import { until } from '../../support/wait.ts';

let directory: string;
const path = (name: string) => join(directory, name);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-settings-'));
  mkdirSync(path('distros'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function settingsOf(lines: string): SettingsFile {
  writeFileSync(path('emperor.ini'), `[emperor]\nvassals = v\ndistros = distros\n${lines}`);
  return new SettingsFile(path('emperor.ini'), []);
}

function refusal(settings: SettingsFile): EmperorError {
  try {
    settings.load();
  } catch (error) {
    if (error instanceof EmperorError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

describe('SettingsFile.load()', () => {
  test('goes by the file on disk, its owner and the distros that are there', () => {
    mkdirSync(path('distros/trixie'));
    mkdirSync(path('distros/.under-way'));
    writeFileSync(path('distros/README'), '');
    const { config } = settingsOf('').load();
    expect(config).toMatchObject({
      vassalDirectories: [path('v')],
      distros: ['trixie'],
      defaultDistro: 'trixie',
    });
    expect(config.trustedOwners).toContain(process.getuid?.());
  });

  test('refuses a file that is missing, no text, open to everybody or wrong', () => {
    expect(refusal(new SettingsFile(path('gone.ini'), [])).message).toMatch(/ENOENT/);
    const settings = settingsOf('');
    writeFileSync(path('emperor.ini'), Buffer.from('[emperor]\nvassals = \xe9\n', 'latin1'));
    expect(refusal(settings).message).toMatch(/line 2: .*UTF-8/);
    expect(refusal(settingsOf('vasals = x\n')).diagnostics).toMatchObject([
      { code: 'unknown-key' },
    ]);
    const open = settingsOf('');
    chmodSync(path('emperor.ini'), 0o666);
    expect(refusal(open).diagnostics).toMatchObject([{ code: 'file-open' }]);
  });

  test('takes no include that others could write, that is no file or too large', () => {
    writeFileSync(path('open.ini'), '[emperor]\n');
    chmodSync(path('open.ini'), 0o666);
    mkdirSync(path('folder.ini'));
    writeFileSync(path('large.ini'), `[emperor]\n;${'x'.repeat(70_000)}\n`);
    const { diagnostics } = refusal(
      settingsOf(
        'include = open.ini\ninclude = folder.ini\ninclude = large.ini\ninclude = gone.ini\ninclude = open.ini/x\n',
      ),
    );
    expect(diagnostics.map(({ message }) => message.replace(/^.*: /, ''))).toEqual([
      'everybody can write to it; chmod o-w it',
      'it is no regular file',
      'it is larger than 64 KiB',
      'there is no such file',
      expect.stringMatching(/^ENOTDIR|not a directory/),
    ]);
  });
});

describe('SettingsFile.watch()', () => {
  test('tells of what changed between reading and watching', async () => {
    const settings = settingsOf('');
    settings.load();
    mkdirSync(path('distros/late'));
    let changes = 0;
    await settings.watch(() => {
      changes += 1;
    });
    await settings.close();
    expect(changes).toBeGreaterThan(0);
  });

  test('tells of a changed file, a changed include, a distro that comes and one that goes', async () => {
    writeFileSync(path('more.ini'), '[emperor]\n');
    const settings = settingsOf('include = more.ini\n');
    settings.load();
    let changes = 0;
    const watching = settings.watch(() => {
      changes += 1;
    });
    const told = async (doing: () => void) => {
      const before = changes;
      doing();
      await until(String(doing), () => changes > before);
      settings.load();
    };
    try {
      await watching;
      await told(() => {
        writeFileSync(
          path('new'),
          '[emperor]\nvassals = w\ndistros = distros\ninclude = more.ini\n',
        );
        renameSync(path('new'), path('emperor.ini'));
      });
      await told(() => writeFileSync(path('more.ini'), '[emperor]\nlog-level = debug\n'));
      expect(settings.load().config.defaultDistro).toBeNull();
      await told(() => mkdirSync(path('distros/bookworm')));
      expect(settings.load().config.defaultDistro).toBe('bookworm');
      await told(() => rmdirSync(path('distros/bookworm')));
    } finally {
      await settings.close();
    }
  });

  test('tells of what no event tells, such as a mode, by looking again; once', async () => {
    settingsOf('');
    const settings = new SettingsFile(path('emperor.ini'), [], 10);
    settings.load();
    let changes = 0;
    try {
      await settings.watch(() => {
        changes += 1;
      });
      expect(changes).toBe(0);
      chmodSync(path('emperor.ini'), 0o666);
      await until('it is seen', () => changes > 0);
      chmodSync(path('emperor.ini'), 0o600);
      await until('so is its end', () => changes > 1);
    } finally {
      await settings.close();
    }
    expect(changes).toBe(2);
  });
});
