/** `emperor wait NAME --for CONDITIONS`: what a panel calls after it wrote a file. */
import { EmperorError } from '../../base/errors.ts';
import { parseDurationMs } from '../../base/units.ts';
import { WAIT_CONDITIONS, type WaitRequest, type WaitResult } from '../../emperor/governor.ts';
import { type Call, onlyWord, usageError } from '../call.ts';
import { EXIT } from '../exit.ts';
import { printJson, say } from '../output.ts';
import { printable } from '../printable.ts';
import { reach } from '../reach.ts';
import { sayDiagnostics } from '../report.ts';

const DEFAULT_TIMEOUT = '30s';

export async function run(call: Call): Promise<number> {
  const { options, globals } = call;
  const name = onlyWord(call);
  const request = parseWait(options.text('for'), options.text('timeout') ?? DEFAULT_TIMEOUT);
  const result = await (await reach(globals)).wait(name, request);
  if (globals.json) printJson(result);
  return tell(name, result);
}

/** Parses `running,applied=SHA256` and `30s`; throws `bad-usage`. Pure. */
export function parseWait(conditions: string | undefined, timeout: string): WaitRequest {
  if (conditions === undefined || conditions === '') {
    throw usageError(
      `Cannot wait: --for is missing; use one or more of ${WAIT_CONDITIONS.join(', ')}`,
    );
  }
  const timeoutMs = parseDurationMs(timeout);
  if (timeoutMs === undefined) {
    throw usageError(`Cannot wait for ${JSON.stringify(timeout)}: use a duration such as 30s`);
  }
  const parsed = conditions.split(',').map(parseCondition);
  const sha256 = parsed.find((each) => each.sha256 !== undefined)?.sha256;
  return {
    conditions: parsed.map(({ condition }) => condition),
    timeoutMs: Math.round(timeoutMs),
    ...(sha256 === undefined ? {} : { sha256 }),
  };
}

function parseCondition(text: string) {
  const [word = '', sha256] = text.trim().split('=');
  const condition = WAIT_CONDITIONS.find((each) => each === word);
  if (!condition) {
    throw usageError(
      `Cannot wait for ${JSON.stringify(text)}: use one or more of ${WAIT_CONDITIONS.join(', ')}`,
    );
  }
  if (sha256 === undefined) return { condition };
  if (condition !== 'applied' || !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw usageError(
      `Cannot wait for ${JSON.stringify(text)}: only \`applied\` takes a SHA-256, of 64 hex digits`,
    );
  }
  return { condition, sha256: sha256.toLowerCase() };
}

async function tell(name: string, result: WaitResult): Promise<number> {
  switch (result.outcome) {
    case 'met':
      return EXIT.done;
    case 'refused':
      await sayDiagnostics(result.diagnostics);
      say(`emperor: Cannot apply ${name}: ${printable(result.message)}`);
      return EXIT.no;
    case 'timeout':
      throw timeoutError(name, result.state);
  }
}

function timeoutError(name: string, state: string | null): EmperorError {
  const now = state === null ? 'there is no such vassal' : `it is ${state}`;
  return new EmperorError('timeout', `Cannot wait for ${name} any longer: ${now}`);
}
