/** The shape of the source as the design draws it: arrows between folders go down only, and each thing that makes code hard to test has one home. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { describe, expect, test } from 'vitest';

const SOURCE = resolve(import.meta.dirname, '../../src');

/** folder → the folders right below it; what those may import, it may too. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  cli: ['api'],
  api: ['emperor'],
  emperor: ['vassal', 'front', 'network', 'router'],
  vassal: ['jail', 'cgroup', 'distro', 'config'],
  front: ['config'],
  network: ['config'],
  config: ['firewall', 'cron', 'cgroup'],
  distro: ['jail'],
  router: ['firewall', 'jail'],
  jail: ['linux'],
  cgroup: ['linux'],
  firewall: ['base'],
  cron: ['linux'],
  linux: ['base'],
  base: [],
};

/** what → [how it looks in code, where it may stand]. */
const HOMES: Readonly<Record<string, readonly [RegExp, RegExp]>> = {
  'process.exit': [/\bprocess\.exit\(/, /^cli\/exit\.ts$/],
  koffi: [/['"]koffi['"]/, /^linux\//],
  'the wall clock': [/\bDate\.now\(|\bnew Date\(\)/, /^base\/clock\.ts$/],
  'the environment': [/\bprocess\.env\b/, /^base\/environment\.ts$/],
};

interface Source {
  /** Relative to src/, with slashes. */
  readonly path: string;
  readonly code: string;
}

const sources: readonly Source[] = readdirSync(SOURCE, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => join(entry.parentPath, entry.name))
  .map((file) => ({
    path: relative(SOURCE, file).split(sep).join('/'),
    code: withoutComments(readFileSync(file, 'utf8')),
  }));

/** Enough for our own formatted code: no string of ours holds a comment's beginning at the start of a line. */
function withoutComments(text: string): string {
  return text.replaceAll(/^\s*\/\*[\s\S]*?\*\//gm, '').replaceAll(/(^|\s)\/\/.*$/gm, '');
}

function folderOf(path: string): string {
  return path.split('/')[0] ?? '';
}

function reachable(folder: string): ReadonlySet<string> {
  const below = BELOW[folder] ?? [];
  return new Set([folder, ...below, ...below.flatMap((each) => [...reachable(each)])]);
}

function importedFolders({ path, code }: Source): readonly string[] {
  const specifiers = [...code.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)];
  return specifiers.map(([, specifier = '']) =>
    folderOf(
      relative(SOURCE, resolve(SOURCE, dirname(path), specifier))
        .split(sep)
        .join('/'),
    ),
  );
}

describe('the source', () => {
  test('has only the folders that the design names', () => {
    const folders = [...new Set(sources.map(({ path }) => folderOf(path)))];
    expect(folders.filter((folder) => !(folder in BELOW))).toEqual([]);
  });

  test('imports downwards only', () => {
    const upwards = sources.flatMap((source) => {
      const allowed = reachable(folderOf(source.path));
      return importedFolders(source)
        .filter((folder) => !allowed.has(folder))
        .map((folder) => `${source.path} imports from ${folder}`);
    });
    expect(upwards).toEqual([]);
  });

  test.each(Object.entries(HOMES))('has one home for %s', (_, [look, home]) => {
    const strays = sources.filter(({ path, code }) => look.test(code) && !home.test(path));
    expect(strays.map(({ path }) => path)).toEqual([]);
  });

  test('names no file utils, helpers or manager', () => {
    const vague = sources.filter(({ path }) => /(utils?|helpers?|manager)\.ts$/.test(path));
    expect(vague.map(({ path }) => path)).toEqual([]);
  });
});
