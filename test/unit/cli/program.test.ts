/** The command line grammar, without running a command. */
import { describe, expect, test } from 'vitest';
import type { Call } from '../../../src/cli/call.ts';
import { COMMANDS, type CommandSpec } from '../../../src/cli/commands.ts';
import { parseAndRun } from '../../../src/cli/program.ts';

interface Outcome {
  readonly status: number;
  readonly call: Call | undefined;
  readonly help: string;
  readonly errors: string;
}

async function parse(...words: readonly string[]): Promise<Outcome> {
  let call: Call | undefined;
  let help = '';
  let errors = '';
  const status = await parseAndRun(words, {
    version: '1.2.3',
    run: async (_, given) => {
      call = given;
      return 42;
    },
    printHelp: (text) => {
      help += text;
    },
    sayError: (text) => {
      errors += text;
    },
  });
  return { status, call, help, errors };
}

describe('the command line', () => {
  test('gives the verb, its words and options to the command, and its status back', async () => {
    const { status, call } = await parse('logs', 'blog', '-f', '-n', '5', '--label', 'web');
    expect(status).toBe(42);
    expect(call?.words).toEqual(['blog']);
    expect(call?.options.flag('follow')).toBe(true);
    expect(call?.options.flag('raw')).toBe(false);
    expect(call?.options.text('lines')).toBe('5');
    expect(call?.options.text('label')).toBe('web');
  });

  test.each([
    [['--json', '--socket', '/s', 'ls']],
    [['ls', '--json', '--socket', '/s']],
    [['--json', 'ls', '--socket=/s']],
  ])('takes global options before and after the verb: %j', async (words) => {
    expect((await parse(...words)).call?.globals).toMatchObject({ json: true, socket: '/s' });
  });

  test('takes them between `distro` and its verb too, and the last one counts', async () => {
    const { call } = await parse('--ini', 'a', 'distro', '--ini', 'b', 'ls', '--ini', 'c');
    expect(call?.verb).toBe('ls');
    expect(call?.globals.ini).toBe('c');
  });

  test.each([[['--no-color', 'ls']], [['ls', '--no-color']]])(
    '%j has no colours',
    async (words) => {
      expect((await parse(...words)).call?.globals.color).toBe(false);
      expect((await parse('ls')).call?.globals.color).toBe(true);
    },
  );

  test('`--set` may be given more than once', async () => {
    const { call } = await parse('run', '--set', 'a=1', '--set', 'b=2');
    expect(call?.options.many('set')).toEqual(['a=1', 'b=2']);
    expect((await parse('run')).call?.options.many('set')).toEqual([]);
  });

  test.each([
    [
      ['exec', 'blog', '--', 'ls', '--json', '-t'],
      ['blog', '--', 'ls', '--json', '-t'],
    ],
    [
      ['exec', 'blog', 'ls', '-l', '--help'],
      ['blog', 'ls', '-l', '--help'],
    ],
    [
      ['exec', '-t', 'blog', '-t', 'ls'],
      ['blog', '-t', 'ls'],
    ],
  ])('leaves the command line of exec alone: %j', async (words, wanted) => {
    const { call } = await parse(...words);
    expect(call?.words).toEqual(wanted);
    expect(call?.globals.json).toBe(false);
  });

  test.each([
    [[], /Usage: emperor/],
    [['statsu'], /^emperor: unknown command 'statsu'.*status/s],
    [['ls', '--jsn'], /unknown option '--jsn'.*--json/s],
    [['status'], /missing required argument 'name'/],
    [['ls', 'extra'], /too many arguments/],
    [['distro'], /Usage: emperor distro/],
    [['distro', 'lss'], /unknown command 'lss'.*ls/s],
  ])('%j is a usage error: told on stderr, exit status 2', async (words, message) => {
    const { status, errors, help, call } = await parse(...words);
    expect(status).toBe(2);
    expect(errors).toMatch(message);
    expect(help).toBe('');
    expect(call).toBeUndefined();
  });

  test.each([[['--version']], [['-V']]])('%j prints the version', async (words) => {
    expect(await parse(...words)).toMatchObject({ status: 0, help: '1.2.3\n' });
  });
});

const specs: readonly (readonly [string, CommandSpec])[] = COMMANDS.flatMap((spec) => [
  [spec.name, spec] as const,
  ...(spec.commands ?? []).map((inner) => [`${spec.name} ${inner.name}`, inner] as const),
]);

describe('every command', () => {
  test.each(specs)('%s has a help with an example', async (words, { example, summary }) => {
    const { status, help } = await parse(...words.split(' '), '--help');
    expect(status).toBe(0);
    expect(help).toContain(example);
    expect(example).toContain(`emperor ${words}`);
    expect(summary).toMatch(/\.$/);
  });

  test.each(specs.filter(([, { load }]) => load))(
    '%s has a module that runs it',
    async (_, spec) => {
      expect((await spec.load?.())?.run).toBeTypeOf('function');
    },
  );

  test.each(specs)('%s: its example is a valid call', async (_, { example, load }) => {
    if (!load) return;
    const words = example.replace(/ >.*$/, '').split(' ');
    const outcome = await parse(...words.slice(words.indexOf('emperor') + 1));
    expect(outcome).toMatchObject({ status: 42, errors: '' });
  });
});
