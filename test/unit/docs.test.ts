/** The pages name what exists: links lead somewhere, and files, scripts, commands, options and codes are there. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PATHS } from '../../src/api/paths.ts';
import { COMMANDS, type CommandSpec } from '../../src/cli/commands.ts';
import { CODES } from '../../src/config/diagnose.ts';
import { DIRECTIVES } from '../../src/config/options/directives.ts';
import { EMPEROR_OPTIONS } from '../../src/config/options/emperor.ts';
import { namesOf } from '../../src/config/options/option.ts';
import { VASSAL_OPTIONS } from '../../src/config/options/vassal.ts';
import { optionsPage } from '../../src/config/render/options-page.ts';
import { VASSAL_ACTIONS } from '../../src/emperor/governor.ts';
import { VASSAL_STATES } from '../../src/vassal/state.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PAGES = ['README.md', 'CHANGELOG.md', 'distros/README.md', ...pagesBelow('docs')];

function pagesBelow(directory: string): readonly string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(directory, name))
    .sort();
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** First groups of all matches. */
function found(pattern: RegExp, text: string): readonly string[] {
  return [...text.matchAll(pattern)].flatMap(([, group]) => group ?? []);
}

/** What stands between backticks on one line, and lines of code blocks. */
function codeOf(text: string): readonly string[] {
  const blocks = found(/^```\w*\n([\s\S]*?)^```/gm, text).flatMap((block) => block.split('\n'));
  return [...blocks, ...found(/`([^`\n]+)`/g, text.replaceAll(/^```[\s\S]*?^```/gm, ''))];
}

const PATH = /(?<![\w/-])((?:src|test|scripts|docs|bench|contrib|bin)\/[\w./-]*\w)/g;
const SCRIPT = /\bnpm run ([\w:]+)/g;

const ENTRIES: readonly CommandSpec[] = COMMANDS.flatMap((spec) => [
  spec,
  ...(spec.commands ?? []),
]);
const VERBS = COMMANDS.map(({ name }) => name);
const FLAGS = new Set([
  ...ENTRIES.flatMap(({ options = [] }) =>
    options.flatMap(({ flags }) => found(/(--[\w-]+)/g, flags)),
  ),
  ...['--socket', '--ini', '--json', '--no-color', '--help', '--version'],
]);
const KEYS = new Set([
  ...[VASSAL_OPTIONS, EMPEROR_OPTIONS].flatMap((table) => [...namesOf(table).keys()]),
  ...DIRECTIVES.map(({ name }) => name),
]);

describe.each(PAGES)('%s', (page) => {
  const text = read(page);
  const code = codeOf(text);

  test('links to what is there', () => {
    const targets = found(/\]\(([^)\s]+)\)/g, text).filter((target) => !/^https?:/.test(target));
    const broken = targets.filter((target) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : relative(ROOT, resolve(ROOT, dirname(page), path));
      if (!existsSync(join(ROOT, file))) return true;
      return anchor !== undefined && !anchorsOf(read(file)).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  test('names files and npm scripts that exist', () => {
    const paths = code
      .flatMap((each) => found(PATH, each))
      .filter((path) => !path.startsWith('bench/results/') && !/[A-Z]{4}/.test(path));
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const used = code.flatMap((each) => found(SCRIPT, each));
    expect(used.filter((name) => !(name in scripts))).toEqual([]);
  });

  test('names commands and flags that the CLI has', () => {
    const calls = code.flatMap((each) =>
      found(/^(?:sudo )?(?:\.\/bin\/)?emperor ([a-z].*)/g, each),
    );
    const unknown = calls.filter((call) => !VERBS.includes(call.split(/[\s,]/)[0] ?? ''));
    expect(unknown).toEqual([]);
    const flags = calls.flatMap((call) =>
      found(/(?:^|\s)(--[a-z][\w-]*)/g, call.split(/ -- |[|;&]/)[0] ?? ''),
    );
    expect(flags.filter((flag) => !FLAGS.has(flag))).toEqual([]);
  });

  test('names keys that the option tables have', () => {
    const keys = code.flatMap((each) => found(/^(?:final )?([a-z][a-z0-9-]+) = /g, each));
    const examples = ['comand', 'hostnam', 'key'];
    expect(keys.filter((key) => !KEYS.has(key) && !examples.includes(key))).toEqual([]);
  });
});

/** As GitHub makes them. */
function anchorsOf(text: string): readonly string[] {
  return found(/^#+ (.*)$/gm, text).map((title) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

describe('docs/panel.md', () => {
  const text = read('docs/panel.md');

  test('tells every state, every action and every route', () => {
    for (const state of VASSAL_STATES) expect(text).toContain(state);
    for (const action of VASSAL_ACTIONS) expect(text).toMatch(new RegExp(`POST.*\\b${action}\\b`));
    const lastParts = Object.values(PATHS).map((path) => path.split('/').at(-1) ?? '');
    for (const part of lastParts.filter((each) => each !== ':name')) expect(text).toContain(part);
  });

  test('shows a diagnostic with a code that exists', () => {
    expect(
      found(/(?:error|warning)\[([\w-]+)\]/g, text).filter((code) => !(code in CODES)),
    ).toEqual([]);
  });
});

describe('docs/operating.md', () => {
  test('explains every condition that the emperor can raise', () => {
    const sources = readdirSync(join(ROOT, 'src/emperor')).map((name) =>
      read(`src/emperor/${name}`),
    );
    const unions = sources.flatMap((source) => found(/type ConditionKind =([^;]*);/g, source));
    const kinds = [
      ...unions.flatMap((union) => found(/'([\w-]+)'/g, union)),
      ...sources.flatMap((source) => found(/kind: '([\w-]+)', message/g, source)),
    ];
    expect(kinds).toEqual(expect.arrayContaining(['mass-removal', 'emperor-ini', 'state-dir']));
    for (const kind of [...kinds, 'duplicate-name']) {
      expect(read('docs/operating.md')).toContain(`\`${kind}\``);
    }
  });
});

describe('docs/options.md', () => {
  test('is what the tables say', () => {
    expect(read('docs/options.md'), 'run `npm run docs`').toBe(optionsPage());
  });
});

describe('docs/security.md', () => {
  const text = read('docs/security.md');

  test('tells the attempts that the tests make', () => {
    const attacker = join(ROOT, 'test/security/attempts/attacker.py');
    const table = execFileSync('python3', ['-B', attacker, 'table'], { encoding: 'utf8' });
    const [shown] = found(/<!-- attempts: .*? -->\n([\s\S]*)<!-- \/attempts -->/g, text);
    expect(shown, 'run `npm run docs`').toBe(table);
  });

  test('names tests by titles that they have', () => {
    const named = [...text.matchAll(/^\|[^|]*\| `(test\/[\w/.-]+)`: ([^|]+) \|/gm)];
    expect(named.length).toBeGreaterThan(10);
    const missing = named.filter(([, file = '', title = '']) => {
      return !read(file).replaceAll(/\\'/g, "'").includes(title);
    });
    expect(missing.map(([row]) => row)).toEqual([]);
  });
});
