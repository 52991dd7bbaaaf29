/** Start-up counts: what a command loads before it does anything, followed through the imports of the source. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

const SOURCE = resolve(import.meta.dirname, '../../../src');
/** Static imports and re-exports that remain when types are gone. */
const IMPORT = /^(?:import|export) (?!type )(?:[^'"]* from )?'([^']+)';$/gms;

function loadedBy(file: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(resolve(SOURCE, file), 'utf8');
  for (const [, specifier = ''] of text.matchAll(IMPORT)) {
    if (!specifier.startsWith('.')) seen.add(specifier);
    else loadedBy(relative(SOURCE, resolve(SOURCE, dirname(file), specifier)), seen);
  }
  return seen;
}

const packagesOf = (files: Iterable<string>) =>
  [...files].filter((file) => !file.endsWith('.ts') && !file.startsWith('node:'));

test('the command line itself loads commander, and a dozen small files', () => {
  const loaded = loadedBy('cli/main.ts');
  expect(packagesOf(loaded)).toEqual(['commander']);
  expect(loaded.size).toBeLessThan(20);
});

test.each(['act', 'cat', 'events', 'ls', 'plan', 'purge', 'shutdown', 'stats', 'status', 'wait'])(
  '`emperor %s` loads no package, no system call and no daemon',
  (command) => {
    const loaded = loadedBy(`cli/commands/${command}.ts`);
    expect(packagesOf(loaded)).toEqual([]);
    const heavy = [...loaded].filter((file) => /^(linux|jail|distro|cgroup)\//.test(file));
    expect(heavy).toEqual([]);
    expect(loaded.size).toBeLessThan(40);
  },
);

test('`emperor logs` loads no table of options before it needs one', () => {
  expect([...loadedBy('cli/commands/logs.ts')]).not.toContain('config/options/emperor.ts');
});

test('the run-dir of --ini is found without resolving the whole configuration', () => {
  const loaded = loadedBy('cli/run-directory.ts');
  expect(packagesOf(loaded)).toEqual([]);
  expect([...loaded]).not.toContain('config/emperor-config.ts');
  expect([...loaded]).not.toContain('config/options/emperor.ts');
});

test('only the daemon gets a flag of V8, and words reach Node as they are', () => {
  const program = resolve(SOURCE, '../bin/emperor');
  const directory = mkdtempSync(join(tmpdir(), 'emperor-start-up-'));
  const seen = (...words: readonly string[]) => {
    const env = { PATH: `${directory}:/usr/bin:/bin` };
    return execFileSync(program, words, { env, encoding: 'utf8' }).split('\n').slice(0, -1);
  };
  try {
    writeFileSync(join(directory, 'node'), '#!/bin/sh\nprintf "%s\\n" "$@"\n', { mode: 0o755 });
    expect(seen('status', 'a b', '$x')).toEqual([program, 'status', 'a b', '$x']);
    const flag = '--max-semi-space-size=2';
    expect(seen('--ini', 'x', 'run')).toEqual([flag, program, '--ini', 'x', 'run']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
