/** `emperor firewall check`: what the live rules say of a packet, and which rule decides. */
import { createInterface } from 'node:readline';
import type { ApiClient } from '../../api/client.ts';
import { MAX_QUESTION_LENGTH } from '../../api/query.ts';
import { EmperorError } from '../../base/errors.ts';
import type { FirewallAnswer, FirewallDecision } from '../../emperor/governor.ts';
import { type Call, type Globals, usageError } from '../call.ts';
import { EXIT } from '../exit.ts';
import { print, printJson, printJsonLine } from '../output.ts';
import { printable } from '../printable.ts';
import { reach } from '../reach.ts';

/** Questions in one request. */
const AT_ONCE = 2000;
const STDIN = '-';

export async function run({ words, globals }: Call): Promise<number> {
  const client = await reach(globals);
  if (words.length === 1 && words[0] === STDIN) return checkLines(client, globals);
  if (words.length < 2 || words.length > 3) {
    throw usageError('Cannot check that: write `[in|out] SRC DST`, or `-` for lines of stdin');
  }
  const [answer] = await client.checkFirewall([questionOf(words.join(' '))]);
  if (!answer) throw new Error('no answer to a question');
  if ('error' in answer) throw new EmperorError(answer.error.code, answer.error.message);
  if (globals.json) printJson(answer);
  else print(`${renderAnswer(answer)}\n`);
  return answer.verdict === 'allow' ? EXIT.done : EXIT.no;
}

/** One answer a line; with 1 if a line could not be judged. */
async function checkLines(client: ApiClient, { json }: Globals): Promise<number> {
  let status: number = EXIT.done;
  const tell = async (lines: readonly string[]) => {
    const answers = await client.checkFirewall(lines);
    if (answers.some((answer) => 'error' in answer)) status = EXIT.no;
    if (json) answers.forEach(printJsonLine);
    else print(answers.map((answer) => `${renderAnswer(answer)}\n`).join(''));
  };
  let waiting: string[] = [];
  for await (const line of createInterface({ input: process.stdin })) {
    waiting.push(questionOf(line));
    if (waiting.length < AT_ONCE) continue;
    await tell(waiting);
    waiting = [];
  }
  if (waiting.length > 0) await tell(waiting);
  return status;
}

/** What is longer is no question, and is told so by what is left of it. */
function questionOf(line: string): string {
  return line.slice(0, MAX_QUESTION_LENGTH);
}

/** One line that begins with `allow`, `deny` or `error:`. Pure. */
export function renderAnswer(answer: FirewallAnswer): string {
  if ('error' in answer) return printable(`error: ${answer.error.message}`);
  return `${answer.verdict}  ${answer.decisions.map(decisionText).join('; ')}`;
}

function decisionText({ chain, action, rule, vassal }: FirewallDecision): string {
  const owner = vassal === null ? '' : ` (own rule of ${vassal})`;
  return `${chain}: ${rule ?? `policy ${action}`}${owner}`;
}
