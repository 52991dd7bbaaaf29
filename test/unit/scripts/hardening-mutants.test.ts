/** What `npm run mutate:hardening` takes away: by its names and patterns it finds what the sources have today. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

interface Mutant {
  readonly file: string;
  readonly line: number;
  readonly what: string;
  readonly content: string;
  readonly tests: { readonly behaviour: readonly (readonly string[])[] };
}

const ROOT = resolve(import.meta.dirname, '../../..');
const NATIVE = 'src/jail/native';
const FILTER = `${NATIVE}/seccomp-profile.c`;

const { findMutants } = (await import(join(ROOT, 'scripts/hardening-mutants.mjs'))) as {
  findMutants(root: string): readonly Mutant[];
};
const mutants = findMutants(ROOT);
const sourceOf = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const of = (file: string) => mutants.filter((one) => one.file === file);

/** What `change` makes of `file` in a copy of the sources. */
function findAfter(file: string, change: (text: string) => string) {
  const root = mkdtempSync(join(tmpdir(), 'emperor-finder-'));
  try {
    cpSync(join(ROOT, 'src/jail'), join(root, 'src/jail'), { recursive: true });
    writeFileSync(join(root, file), change(sourceOf(file)));
    return findMutants(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe('of the filter', () => {
  const lines = sourceOf(FILTER).split('\n');
  const called = /\nstatic void refuse_by_arguments\(void\)\n\{\n([^}]*)\}/.exec(lines.join('\n'));
  const functions = [...(called?.[1] ?? '').matchAll(/(\w+)\(\);/g)].map(([, name]) => name);

  test('there are functions that refuse by arguments', () => {
    expect(functions.length).toBeGreaterThan(5);
  });

  test.each(functions)('each statement and entry of %s() has a mutant', (name) => {
    const first = lines.indexOf(`static void ${name}(void)`);
    const end = lines.indexOf('}', first);
    const body = lines.slice(first, end);
    // Entries of lists stand between braces, whatever they look like; what goes through a list is refused by these.
    const entries = [...body.join('\n').matchAll(/static const [^{]*\{([^}]*)\}/g)].flatMap(
      ([, list = '']) =>
        list
          .replaceAll(/\/\*.*?\*\//g, '')
          .split(',')
          .filter((one) => one.trim() !== ''),
    );
    const statements = body.filter((line) => /^ +(?:refuse_\w+|add)\(/.test(line));
    const direct = statements.filter((line) => !line.includes('[i]'));
    expect(statements.length).toBeGreaterThan(0);
    const found = of(FILTER).filter(({ line, what }) => {
      return line > first && line <= end && what.startsWith('without ');
    });
    expect(found).toHaveLength(entries.length + direct.length);
  });

  test.each(['io_setup', 'io_uring_setup', 'clone3'])('%s is among what is allowed', (name) => {
    expect(mutants.map(({ what }) => what)).toContain(`${name} is allowed`);
  });

  test('the last entry of a list without a comma behind it is one, too', () => {
    const whats = of(FILTER).map(({ what }) => what);
    expect(whats).toContain('without SO_ATTACH_REUSEPORT_EBPF');
    expect(whats).toContain('without IPPROTO_UDPLITE');
  });
});

describe('of the C program', () => {
  test.each(['payload_keep_score', 'be_worse', 'be_as_others_for_oom_killer'])(
    '%s() has one, as each call that takes something away',
    (name) => {
      expect(mutants.some(({ what }) => what.startsWith(`without ${name}(`))).toBe(true);
    },
  );

  test('those of the image of a home are judged by what mounts one', () => {
    for (const { tests } of of(`${NATIVE}/home-image.c`))
      expect(tests.behaviour.flat()).toContain('test/e2e/home-size.test.ts');
    expect(of(`${NATIVE}/home-image.c`)).not.toEqual([]);
  });
});

test('every mutant changes its file', () => {
  for (const { file, content } of mutants) expect(content).not.toBe(sourceOf(file));
});

test.each([
  [`${NATIVE}/launcher.c`, 'be_as_others_for_oom_killer', 'be_like_others'],
  ['src/jail/plan.ts', 'SHM_SIZE_BYTES', 'SHARED_BYTES'],
  [FILTER, 'begin_filter(UNLISTED)', 'begin_filter(OTHERS)'],
])('a name that is no longer in %s throws: %s', (file, name, other) => {
  expect(() => findAfter(file, (text) => text.replaceAll(name, other))).toThrow(/any more$/);
});
