/** `emperor exec NAME [-t] [--] CMD…`: asks where the vassal's init listens, then becomes the C program. */
import { attach, EXIT_OURS } from '../attach.ts';
import { type Call, usageError } from '../call.ts';
import { reach } from '../reach.ts';
import { reportError } from '../report.ts';

export interface ExecWords {
  readonly name: string;
  readonly hasTty: boolean;
  readonly command: readonly string[];
}

export async function run({ words, options, globals }: Call): Promise<number> {
  try {
    const { name, hasTty, command } = parseExecWords(words);
    const target = await (await reach(globals)).execTarget(name);
    const isTtyWanted = hasTty || options.flag('tty');
    return attach(target, { label: 'exec', kind: 'exec', hasTty: isTtyWanted, command });
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
