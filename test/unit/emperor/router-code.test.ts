import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { ROUTER_FOLDERS, routerCode } from '../../../src/emperor/router-code.ts';

const SOURCES = resolve(import.meta.dirname, '../../../src');

/** Folders that the sources in one import. */
function importsOf(folder: string): readonly string[] {
  return readdirSync(join(SOURCES, folder))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(SOURCES, folder, name), 'utf8'))
    .flatMap((text) => [...text.matchAll(/^import (?!type ).*?from '\.\.\/([\w-]+)\//gms)])
    .map(([, imported = '']) => imported);
}

test('routerCode() looks at every folder that the router is made of', () => {
  const found = new Set(['router']);
  for (const folder of found) for (const imported of importsOf(folder)) found.add(imported);
  expect([...found].sort()).toEqual([...ROUTER_FOLDERS].sort());
});

test('routerCode() changes with what a program says, and with nothing else', () => {
  const dist = mkdtempSync(join(tmpdir(), 'emperor-code-'));
  try {
    for (const folder of ROUTER_FOLDERS) mkdirSync(join(dist, folder));
    const program = join(dist, 'router/main.js');
    writeFileSync(program, 'one');
    const one = routerCode(dist);
    expect(routerCode(dist)).toBe(one);
    writeFileSync(program, 'another');
    expect(routerCode(dist)).not.toBe(one);
    writeFileSync(program, 'one');
    writeFileSync(join(dist, 'router/notes.txt'), 'no program');
    expect(routerCode(dist)).toBe(one);
  } finally {
    rmSync(dist, { recursive: true });
  }
});
