/** The command line grammar: commander's program out of the table of commands. */
import { Command, CommanderError, Option } from 'commander';
import { type Call, CallOptions, type Globals } from './call.ts';
import { COMMANDS, type CommandSpec, type OptionSpec } from './commands.ts';
import { EXIT } from './exit.ts';

export interface ParseHooks {
  readonly version: string;
  /** Called with the command that was chosen; resolves with the exit status. */
  readonly run: (spec: CommandSpec, call: Call) => Promise<number>;
  readonly printHelp: (text: string) => void;
  readonly sayError: (text: string) => void;
}

const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  { flags: '--socket <path>', summary: "the emperor's socket (else EMPEROR_SOCKET, or by --ini)" },
  { flags: '--ini <file>', summary: 'the emperor.ini it runs with' },
  { flags: '--json', summary: 'JSON instead of text' },
  { flags: '--no-color', summary: 'no colours (also NO_COLOR)' },
];
const GLOBALS_GROUP = 'Everywhere:';

/** Parses `words` (without node and script) and runs the command; resolves with the exit status. */
export async function parseAndRun(words: readonly string[], hooks: ParseHooks): Promise<number> {
  let status: number = EXIT.done;
  const program = programOf(hooks, (given) => {
    status = given;
  });
  try {
    await program.parseAsync(words, { from: 'user' });
    return status;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version were asked for and printed; everything else is a usage error, told already.
    return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
}

function programOf(hooks: ParseHooks, finish: (status: number) => void): Command {
  const program = new Command('emperor')
    .description('Hosts customers out of a directory of .ini files.')
    .usage('[options] COMMAND …')
    .version(hooks.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help of a command')
    .enablePositionalOptions();
  prepare(program, hooks);
  addOptions(program, GLOBAL_OPTIONS);
  for (const spec of COMMANDS) addCommand(program, spec, { hooks, finish });
  return program;
}

/** Subcommands made by addCommand() inherit nothing, so each is prepared. */
function prepare(command: Command, hooks: ParseHooks): void {
  command
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: hooks.printHelp,
      writeErr: hooks.sayError,
      outputError: (text, write) => write(text.replace(/^error: /, 'emperor: ')),
    });
}

interface Adding {
  readonly hooks: ParseHooks;
  readonly finish: (status: number) => void;
}

function addCommand(parent: Command, spec: CommandSpec, adding: Adding): void {
  const command = new Command(spec.name)
    .description(spec.summary)
    .helpOption('-h, --help', 'print help');
  prepare(command, adding.hooks);
  command.enablePositionalOptions(spec.commands !== undefined);
  command.passThroughOptions(false);
  if (spec.words) command.arguments(spec.words);
  addOptions(command, spec.options ?? []);
  command.optionsGroup(GLOBALS_GROUP);
  addOptions(command, GLOBAL_OPTIONS);
  command.addHelpText('after', helpTail(spec));
  for (const inner of spec.commands ?? []) addCommand(command, inner, adding);
  parent.addCommand(command);
  if (spec.passesThrough) command.passThroughOptions();
  if (spec.takesNegative) takeNegative(command);
  if (!spec.commands) {
    command.action(async () => {
      adding.finish(await adding.hooks.run(spec, callOf(command, spec.name)));
    });
  }
}

/** A blank before `-5 -1 -1 -1 6` makes it a word to commander, and nothing else to us. */
function takeNegative(command: Command): void {
  const parse = command.parseOptions.bind(command);
  command.parseOptions = (args) =>
    parse(args.map((word) => (/^-\d/.test(word) ? ` ${word}` : word)));
}

function addOptions(command: Command, options: readonly OptionSpec[]): void {
  for (const { flags, summary, many } of options) {
    const option = new Option(flags, summary);
    if (many) option.default([]).argParser((word: string, before: string[]) => [...before, word]);
    command.addOption(option);
  }
}

function helpTail({ details, example }: CommandSpec): string {
  const lines = details ? ['', details] : [];
  return [...lines, '', 'Example:', `  ${example}`].join('\n');
}

function callOf(command: Command, verb: string): Call {
  return {
    verb,
    words: command.args,
    options: new CallOptions(command.opts()),
    globals: globalsOf(command),
  };
}

/** The word nearest to the command wins over the one before the verb; `--no-color` counts anywhere. */
function globalsOf(command: Command): Globals {
  const chain: Command[] = [];
  for (let at: Command | null = command; at; at = at.parent) chain.push(at);
  const nearest = (name: string): unknown =>
    chain.map((each) => each.opts()[name]).find((value) => value !== undefined);
  const text = (name: string): string | undefined => {
    const value = nearest(name);
    return typeof value === 'string' ? value : undefined;
  };
  return {
    socket: text('socket'),
    ini: text('ini'),
    json: nearest('json') === true,
    color: chain.every((each) => each.opts().color !== false),
  };
}
