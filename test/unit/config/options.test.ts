/** The tables themselves: what they promise to every reader of docs/options.md holds for each row. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CODES } from '../../../src/config/diagnose.ts';
import { DIRECTIVES } from '../../../src/config/options/directives.ts';
import { EMPEROR_OPTIONS } from '../../../src/config/options/emperor.ts';
import type { Option } from '../../../src/config/options/option.ts';
import { VASSAL_OPTIONS } from '../../../src/config/options/vassal.ts';
import { optionsPage } from '../../../src/config/render/options-page.ts';
import { vassalSchema } from '../../../src/config/render/schema.ts';
import { loadEmperor, resolve as resolveVassal } from '../../support/configuration.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const VASSAL: readonly (readonly [string, Option])[] = Object.entries(VASSAL_OPTIONS);
const EMPEROR: readonly (readonly [string, Option])[] = Object.entries(EMPEROR_OPTIONS);
const ALL = [...VASSAL, ...EMPEROR].map(([field, option]) => [option.name, field, option] as const);

/** Keys that mean nothing without another. */
const OF_DEVICE = ['tuntap-device-rule', 'address', 'address6'];
const OF_COMMAND = ['watchdog'];
const OF_ROUTER = ['nat', 'nat-deny', 'exec-as-root'];
const NETWORK = `tuntap-router = emperor0 /run/tuntap.socket
tuntap-router-address = 192.168.0.1/24
tuntap-router-address6 = fd75:6272:7370::1/64
`;

describe.each(ALL)('%s', (name, field, option) => {
  test('has one sentence of summary', () => {
    expect(option.summary).toMatch(/^[A-Z].*[^.]\.$/);
    expect(option.summary).not.toMatch(/\. [A-Z]/);
  });

  test('has a name in kebab-case and a field in camelCase', () => {
    expect(name).toMatch(/^[a-z]+(-[a-z]+)*[26]?$/);
    expect(field).toMatch(/^[a-z]+([A-Z][a-z]+)*[26]?$/);
  });

  test('says what a missing default comes to', () => {
    expect(option.default !== null || option.otherwise !== undefined).toBe(true);
  });

  test('is documented and used', () => {
    expect(optionsPage()).toContain(`| \`${name}\``);
    expect(usedWords().has(field)).toBe(true);
  });
});

describe.each(VASSAL)('the vassal option %s', (_, option) => {
  const { name, example } = option;
  const emperor = loadEmperor(`[emperor]\nvassals = v\n${NETWORK}[class small]\n`).config;
  const changes = emperor ? { emperor } : {};

  test('takes its example without a word, and changes something by it', () => {
    const distro = name === 'distro' ? '' : 'distro = trixie\n';
    const device = OF_DEVICE.includes(name) ? 'tuntap-device = uwsgi0\n' : '';
    const command = OF_COMMAND.includes(name) ? 'command = a\n' : '';
    const others = `[vassal]\n${distro}${device}${command}`;
    const without = resolveVassal(others, changes);
    const { diagnostics, hash } = resolveVassal(`${others}${name} = ${example}\n`, changes);
    expect(diagnostics).toEqual([]);
    expect(hash).not.toBe(without.hash);
  });

  test('may stand in a tenant file exactly if the table says so', () => {
    const tenant = { trust: 'tenant', tenant: { uid: 5, gid: 5 }, ...changes } as const;
    const { diagnostics } = resolveVassal(`[vassal]\n${name} = ${example}\n`, tenant);
    const isRefused = diagnostics.some(({ code }) => code === 'operator-only');
    expect(isRefused).toBe(option.trust === 'operator');
  });
});

describe.each(EMPEROR)('the emperor option %s', (_, option) => {
  test('takes its example by each of its names', () => {
    for (const name of [option.name, ...(option.aliases ?? [])]) {
      const isAboutRouter = OF_ROUTER.includes(name) || name.startsWith('tuntap-router-');
      const router = isAboutRouter ? 'tuntap-router = emperor0 /run/tuntap.socket\n' : '';
      const required = `${option.required ? '' : 'vassals = v\n'}${router}`;
      const { config, diagnostics } = loadEmperor(
        `[emperor]\n${required}${name} = ${option.example}\n`,
        { lookupUser: () => 1, lookupGroup: () => 1 },
      );
      expect(diagnostics).toEqual([]);
      expect(config).toBeDefined();
    }
  });
});

describe('the tables', () => {
  test('use no name twice', () => {
    for (const table of [VASSAL, EMPEROR]) {
      const names = [
        ...table.flatMap(([, option]) => [option.name, ...(option.aliases ?? [])]),
        ...DIRECTIVES.map(({ name }) => name),
      ];
      expect(names).toEqual([...new Set(names)]);
    }
  });

  test.each(DIRECTIVES)(
    'document $name in one sentence with an example',
    ({ name, summary, example }) => {
      expect(summary).toMatch(/^[A-Z].*[^.]\.$/);
      expect(example).toMatch(new RegExp(`^${name}\\b`));
      expect(optionsPage()).toContain(`\`${name}\``);
    },
  );

  test.each(Object.entries(CODES))('explain the code %s', (code, meaning) => {
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(meaning).toMatch(/^[A-Z].*[^.]\.$/);
    expect(usedWords().has(code) || code === 'more-findings').toBe(true);
  });

  test('are what docs/options.md says; else run print-docs', () => {
    expect(readFileSync(join(ROOT, 'docs/options.md'), 'utf8')).toBe(optionsPage());
  });

  test('are what the schema says: every key, its default, and nothing else', () => {
    const { properties, additionalProperties } = vassalSchema();
    expect(additionalProperties).toBe(false);
    const keys = Object.keys(properties as object);
    for (const [, option] of VASSAL) {
      expect(keys).toContain(option.name);
      expect((properties as Record<string, object>)[option.name]).toMatchObject({
        description: option.summary,
        examples: [option.example],
        ...(option.default === null ? {} : { default: option.default }),
      });
    }
    expect(keys.length).toBe(
      VASSAL.length + DIRECTIVES.filter(({ where }) => where === 'both').length,
    );
  });

  test('have patterns in the schema that their examples match', () => {
    const properties = vassalSchema().properties as Record<
      string,
      { anyOf?: readonly Rule[] } & Rule
    >;
    for (const [, option] of VASSAL) {
      const property = properties[option.name];
      const rule: Rule = property?.anyOf?.[0] ?? property ?? {};
      if (rule.pattern !== undefined) expect(option.example).toMatch(new RegExp(rule.pattern));
      if (rule.enum !== undefined) expect(rule.enum).toContain(option.example);
    }
  });
});

interface Rule {
  readonly pattern?: string;
  readonly enum?: readonly string[];
}

/** Words of the source outside the tables themselves. */
let words: ReadonlySet<string> | undefined;
function usedWords(): ReadonlySet<string> {
  words ??= new Set(
    readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !/config\/(options\/|diagnose)/.test(path))
      .flatMap(
        (path) =>
          readFileSync(join(ROOT, 'src', path), 'utf8').match(/[A-Za-z][A-Za-z0-9-]*/g) ?? [],
      ),
  );
  return words;
}
