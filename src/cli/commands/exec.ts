/**
 * `emperor exec NAME [-t] [--] CMD…`: asks where the vassal's init listens, then becomes the C program that
 * speaks to it. No byte passes through Node, and signals, terminal and exit status are the program's own.
 */
import { readEnvironment } from '../../base/environment.ts';
import type { ExecTarget } from '../../emperor/governor.ts';
import { becomeProgram } from '../../linux/execve.ts';
import { type Call, usageError } from '../call.ts';
import { reach } from '../reach.ts';
import { reportError } from '../report.ts';

/** Whatever fails before the command runs, as docker and podman have it. */
const EXIT_OURS = 125;
/** What the command's terminal is; the tenant's environment knows nothing else of ours. */
const TERMINAL_VARIABLES = ['TERM', 'COLORTERM'];

export interface ExecWords {
  readonly name: string;
  readonly hasTty: boolean;
  readonly command: readonly string[];
}

export async function run({ words, options, globals }: Call): Promise<number> {
  try {
    const parsed = parseExecWords(words);
    const hasTty = parsed.hasTty || options.flag('tty');
    const target = await (await reach(globals)).execTarget(parsed.name);
    const terminal = hasTty ? terminalEnvironment() : [];
    return becomeProgram(target.program, attachArguments(target, { ...parsed, hasTty, terminal }), [
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    ]);
  } catch (error) {
    await reportError(error);
    return EXIT_OURS;
  }
}

/** Parses `NAME [-t|--tty] [--] CMD…`; throws `bad-usage`. Pure. */
export function parseExecWords(words: readonly string[]): ExecWords {
  const [name = '', ...rest] = words;
  let hasTty = false;
  let at = 0;
  for (; rest[at]?.startsWith('-') && rest[at] !== '--'; at += 1) {
    if (rest[at] !== '-t' && rest[at] !== '--tty') {
      throw usageError(
        `Cannot understand ${JSON.stringify(rest[at])} behind ${name}: put \`--\` before the command`,
      );
    }
    hasTty = true;
  }
  if (rest[at] === '--') at += 1;
  const command = rest.slice(at);
  if (command.length > 0) return { name, hasTty, command };
  throw usageError('Cannot run nothing: use `emperor exec NAME -- CMD…`');
}

interface Attachment extends ExecWords {
  readonly terminal: readonly string[];
}

/** The command line of the C program's `attach` mode. Pure. */
export function attachArguments(target: ExecTarget, attachment: Attachment): readonly string[] {
  const { hasTty, terminal, command } = attachment;
  return [
    'attach',
    target.socket,
    target.cwd,
    ...['--label', 'exec'],
    ...(hasTty ? ['--tty'] : []),
    ...[...target.env, ...terminal].flatMap((pair) => ['--env', pair]),
    '--',
    ...command,
  ];
}

function terminalEnvironment(): readonly string[] {
  return TERMINAL_VARIABLES.flatMap((name) => {
    const value = readEnvironment(name);
    return value === undefined ? [] : [`${name}=${value}`];
  });
}
