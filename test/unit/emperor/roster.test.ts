import { describe, expect, test } from 'vitest';
import { entryOf, type FileText, type ResolveContext } from '../../../src/emperor/roster.ts';
import { emperorOf } from '../../support/configuration.ts';

const OWNER = { uid: 0, gid: 0, mode: 0o644 };
const fileText = (text: string, sha256: string): FileText => ({
  file: '/vassals/blog.ini',
  text,
  sha256,
  owner: OWNER,
});
const GOOD = fileText('[vassal]\ncommand = sleep 1\ndistro = bookworm\n', 'good');
const BAD = fileText('[vassal]\ncomand = sleep 1\n', 'bad');

const context: ResolveContext = {
  emperor: emperorOf(''),
  readInclude: () => ({ error: 'there is none' }),
  env: () => undefined,
  uidOf: () => undefined,
  ownerOf: () => undefined,
};
const see = (file: FileText, lastGood: FileText | null) =>
  entryOf({ kind: 'present', name: 'blog', touched: false, ...file }, lastGood, context);

describe('entryOf()', () => {
  test('takes a good file as it is', () => {
    const entry = see(GOOD, null);
    expect(entry.desired).toMatchObject({ kind: 'valid', wanted: { sha256: 'good' } });
    expect(entry.source).toMatchObject(GOOD);
  });

  test('falls back to the last good text where the file is invalid, and shows both', () => {
    const entry = see(BAD, GOOD);
    expect(entry.desired).toMatchObject({ kind: 'invalid', fallback: { sha256: 'good' } });
    expect(entry.onDisk?.sha256).toBe('bad');
    expect(entry.source).toEqual(GOOD);
  });

  test('keeps the last good text over one invalid file after the other', () => {
    expect(see(BAD, see(BAD, GOOD).source).desired).toMatchObject({ fallback: { sha256: 'good' } });
  });

  test('has nothing to run where the first file is invalid', () => {
    expect(see(BAD, null).desired).toMatchObject({ kind: 'invalid', fallback: undefined });
  });
});
