/** What holds of every text, whoever wrote it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_EXPANDED_CHARACTERS } from '../../../src/config/budget.ts';
import { Findings } from '../../../src/config/diagnose.ts';
import { readIni } from '../../../src/config/ini.ts';
import { DIRECTIVES } from '../../../src/config/options/directives.ts';
import { EMPEROR_OPTIONS } from '../../../src/config/options/emperor.ts';
import { VASSAL_OPTIONS } from '../../../src/config/options/vassal.ts';
import type { ResolvedValue } from '../../../src/config/vassal-config.ts';
import { emperorOf, loadEmperor, resolve, resolveTenant } from '../../support/configuration.ts';

/** Has what vassals need for every key's example. */
const EMPEROR = emperorOf(`tuntap-router = emperor0 /run/tuntap.socket
tuntap-router-address = 192.168.0.1/24
tuntap-router-address6 = fd75:6272:7370::1/64
`);
const VASSAL_KEYS = Object.values(VASSAL_OPTIONS).map(({ name }) => name);
const EMPEROR_KEYS = Object.values(EMPEROR_OPTIONS).map(({ name }) => name);
const EXAMPLES = [...Object.values(VASSAL_OPTIONS), ...Object.values(EMPEROR_OPTIONS)].map(
  ({ example }) => example,
);
const FILES = { '/etc/emperor/vassals/a.ini': '[vassal]\nenv = I=1\n', '/b': '[uwsgi]\nfor = x\n' };

const piece = fc.oneof(
  fc.constantFrom('%n', '%d', '%p', '%%', '%x', '%(_)', '$(HOME)', '$(MULTILINE)', '$(NO)'),
  fc.constantFrom(
    "'",
    '"',
    '\\',
    ' ',
    '=',
    ';',
    '#',
    '[',
    ']',
    '&&',
    '\t',
    '\r',
    '\0',
    '\u2028',
    'é',
  ),
  fc.constantFrom(...EXAMPLES),
  fc.constantFrom(...VASSAL_KEYS).map((key) => `%(${key})`),
  fc.string({ unit: 'binary', maxLength: 5 }),
);
const value = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join(''));
const key = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...VASSAL_KEYS) },
  { weight: 2, arbitrary: fc.constantFrom(...EMPEROR_KEYS) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(...DIRECTIVES.map(({ name }) => name), 'final env', 'final x'),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
);
const line = fc.oneof(
  { weight: 10, arbitrary: fc.tuple(key, value).map(([k, v]) => `${k} = ${v}`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom('[vassal]', '[uwsgi]', '[emperor]', '[class a]', 'endfor', '; c'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom('for = a b', 'include = a.ini', 'include = /b', 'class = a'),
  },
  { weight: 1, arbitrary: value },
);
const text = fc
  .tuple(fc.constantFrom('[vassal]', '[emperor]', '[uwsgi]', ''), fc.array(line, { maxLength: 12 }))
  .map(([head, lines]) => `${head}\n${lines.join('\n')}`);

/** Values that make a valid vassal, so that more than refusals is tried. */
const validLine = fc.oneof(
  fc
    .constantFrom(...Object.values(VASSAL_OPTIONS))
    .filter(({ name }) => name !== 'class')
    .map(({ name, example }) => `${name} = ${example}`),
  fc
    .tuple(
      fc.constantFrom('env = A=', 'env = B=', 'command = ', 'exec-as-root = ', 'chdir = '),
      value,
    )
    .map(([head, v]) => head + v),
);

const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;

function expectSound(values: readonly ResolvedValue[]): void {
  for (const { value: shown } of values) expect(shown.replaceAll('\t', ' ')).not.toMatch(CONTROL);
  const total = values.reduce((sum, { value: shown }) => sum + shown.length, 0);
  expect(total).toBeLessThan(2 * MAX_EXPANDED_CHARACTERS);
  const written = `[x]\n${values.map((each) => `${each.key} = ${each.value}\n`).join('')}`;
  const entries = readIni('x', written, new Findings('x')).flatMap((section) => section.entries);
  expect(entries.map((entry) => [entry.key, entry.value])).toEqual(
    values.map((each) => [each.key, each.value]),
  );
}

describe('any text', () => {
  test.each([
    ["the operator's", resolve],
    ["a tenant's", resolveTenant],
  ])('as %s file is answered: a vassal or errors, values of one line each', (_, read) => {
    fc.assert(
      fc.property(text, (written) => {
        const { vassal, diagnostics, values, hash } = read(written, { files: FILES });
        const isValid = !diagnostics.some(({ severity }) => severity === 'error');
        expect(vassal !== undefined).toBe(isValid);
        expect(hash !== '').toBe(isValid);
        expect(JSON.parse(JSON.stringify(vassal ?? null))).toEqual(vassal ?? null);
        expectSound(values);
      }),
      { numRuns: 400 },
    );
  });

  test('as emperor.ini is answered: a configuration or errors, all with a place in it', () => {
    fc.assert(
      fc.property(text, (written) => {
        const { config, diagnostics } = loadEmperor(written, { files: FILES });
        const isValid = !diagnostics.some(({ severity }) => severity === 'error');
        expect(config !== undefined).toBe(isValid);
        const lines = written.split('\n');
        for (const { file, line: at, column, text: shown } of diagnostics) {
          if (file !== '/etc/emperor/emperor.ini' || at === 0) continue;
          expect(shown).toBe(lines[at - 1]?.replace(/\r$/, ''));
          expect(column).toBeGreaterThan(0);
          expect(column).toBeLessThanOrEqual([...(shown ?? '')].length + 1);
        }
      }),
      { numRuns: 400 },
    );
  });

  test('of a tenant makes no vassal with a uid other than its own, and touches no file or variable', () => {
    const forbidden = () => {
      throw new Error('a tenant made the emperor look');
    };
    fc.assert(
      fc.property(text, (written) => {
        const { vassal } = resolveTenant(written, { env: forbidden, readInclude: forbidden });
        if (!vassal) return;
        expect(vassal).toMatchObject({
          uid: 200_007,
          gid: 200_007,
          execAsRoot: [],
          binds: [],
          home: null,
        });
      }),
      { numRuns: 400 },
    );
  });
});

describe('a vassal', () => {
  test('that is written out by its resolved values is the same vassal', () => {
    let valid = 0;
    fc.assert(
      fc.property(fc.array(validLine, { maxLength: 8 }), (lines) => {
        const env = () => undefined;
        const once = resolve(`[vassal]\n${lines.join('\n')}\n`, { env, emperor: EMPEROR });
        if (!once.vassal) return;
        valid += 1;
        const written = once.values.map(
          (each) => `${each.key} = ${each.value.replaceAll('%', '%%')}\n`,
        );
        const again = resolve(`[vassal]\n${written.join('')}`, { env, emperor: EMPEROR });
        expect(again.diagnostics.filter(({ severity }) => severity === 'error')).toEqual([]);
        expect(again.vassal).toEqual(once.vassal);
        expect(again.hash).toBe(once.hash);
      }),
      { numRuns: 600 },
    );
    expect(valid).toBeGreaterThan(100);
  });

  test('no variable, item or value of another key can bring in a second key', () => {
    const hostile = fc.oneof(value, fc.string({ unit: 'binary', maxLength: 30 }));
    fc.assert(
      fc.property(hostile, hostile, (first, second) => {
        const written =
          '[vassal]\nchdir = x\nenv = A=$(FIRST)\nfor = $(SECOND) end\nenv = B%(_)=%(chdir)%(_)\nendfor\n';
        const env = (name: string) => ({ FIRST: first, SECOND: second })[name];
        const { vassal, values } = resolve(written, { env, emperor: EMPEROR });
        expectSound(values);
        expect(values.map((each) => each.key)).not.toContain('exec-as-root');
        if (vassal) expect(vassal).toMatchObject({ execAsRoot: [], binds: [], uid: null });
      }),
      { numRuns: 500 },
    );
  });
});
