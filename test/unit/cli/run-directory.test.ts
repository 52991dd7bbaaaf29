import { expect, test } from 'vitest';
import { plainRunDirectory } from '../../../src/cli/run-directory.ts';

const of = (text: string) => plainRunDirectory('/etc/emperor/emperor.ini', text);

test.each([
  ['[emperor]\nvassals = v\n', '/run/emperor'],
  ['[emperor]\nrun-dir = /tmp/x\n', '/tmp/x'],
  ['[emperor]\nrun-dir = run\n', '/etc/emperor/run'],
  ['[uwsgi]\nrun-dir = /a\nrun-dir = /b\n', '/b'],
  ['[class small]\nrun-dir = /a\n', '/run/emperor'],
])('%j has its sockets in %s', (text, wanted) => {
  expect(of(text)).toBe(wanted);
});

test('a broken file still says where its emperor listens', () => {
  expect(of('junk\n[emperor]\nvasals = v\nrun-dir = /tmp/x\n')).toBe('/tmp/x');
});

test.each([
  '[emperor]\ninclude = more.ini\n',
  '[emperor]\nrun-dir = /run/%n\n',
  '[emperor]\nrun-dir = $(RUN)\n',
  '[emperor]\nfor = a b\nrun-dir = /x\nendfor\n',
])('only resolving can tell for %j', (text) => {
  expect(of(text)).toBeUndefined();
});
