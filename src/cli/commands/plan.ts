/** `emperor plan`: what would change and what it costs; for one vassal, the steps that make its jail. */
import type { ApiClient } from '../../api/client.ts';
import { EmperorError } from '../../base/errors.ts';
import type { PlannedChange, VassalStatus } from '../../emperor/governor.ts';
import type { Actual } from '../../emperor/plan.ts';
import type { AppliedRecord } from '../../emperor/records.ts';
import { type Call, type Globals, usageError } from '../call.ts';
import { EXIT } from '../exit.ts';
import { renderJailPlan } from '../jail-plan.ts';
import { print, printJson, say, tableStyle } from '../output.ts';
import { reach } from '../reach.ts';
import { sayDiagnostics } from '../report.ts';
import { renderTable, type TableStyle } from '../table.ts';

export async function run({ words, options, globals }: Call): Promise<number> {
  const client = await reach(globals);
  const jail = options.text('jail');
  if (jail !== undefined) {
    if (words.length > 0) throw usageError('Cannot plan both: give --jail NAME or files');
    return printJail(await client.jailPlan(jail), globals);
  }
  if (words.length === 0) return tell(await client.plan(), globals);
  return planFiles(words, { client, globals });
}

function printJail(plan: Awaited<ReturnType<ApiClient['jailPlan']>>, globals: Globals): number {
  if (globals.json) printJson(plan);
  else print(renderJailPlan(plan));
  return EXIT.done;
}

function tell(changes: readonly PlannedChange[], globals: Globals): number {
  if (globals.json) {
    printJson(changes);
    return EXIT.done;
  }
  const shown = changes.filter(({ action, reason }) => action !== 'keep' || reason !== 'unchanged');
  if (shown.length > 0) print(renderChanges(shown, tableStyle(globals)));
  else say('emperor: nothing would change');
  return EXIT.done;
}

/** Pure. */
export function renderChanges(changes: readonly PlannedChange[], style?: TableStyle): string {
  const columns = [
    { title: 'NAME', cell: ({ name }: PlannedChange) => name },
    { title: 'ACTION', cell: ({ action }: PlannedChange) => action },
    { title: 'COST', cell: ({ cost }: PlannedChange) => cost },
    { title: 'REASON', cell: ({ reason }: PlannedChange) => reason },
  ];
  return renderTable(changes, columns, style);
}

interface Setting {
  readonly client: ApiClient;
  readonly globals: Globals;
}

/** Judges the files here and compares them with what was applied, as the emperor would. */
async function planFiles(files: readonly string[], { client, globals }: Setting): Promise<number> {
  const [{ fileChecker }, { loadSettings }, { readRecords }, { planVassal }] = await Promise.all([
    import('../check-files.ts'),
    import('../settings.ts'),
    import('../../emperor/records.ts'),
    import('../../emperor/plan.ts'),
  ]);
  const settings = loadSettings(globals.ini ?? (await client.stats()).ini);
  const records = readRecords(settings.config.stateDirectory);
  const checked = files.map(fileChecker(settings));
  const changes: PlannedChange[] = [];
  for (const { name, wanted, diagnostics } of checked) {
    await sayDiagnostics(diagnostics);
    const desired = wanted
      ? ({ kind: 'valid', wanted } as const)
      : ({ kind: 'invalid', diagnostics, fallback: undefined } as const);
    const status = await statusIfKnown(client, name);
    changes.push(planVassal(name, desired, status && actualOf(status, records.get(name))));
  }
  tell(changes, globals);
  return checked.every(({ wanted }) => wanted) ? EXIT.done : EXIT.no;
}

function actualOf(status: VassalStatus, record: AppliedRecord | undefined): Actual {
  return {
    state: status.state,
    hasJail: status.pid !== null,
    applied: record?.applied ?? null,
    isHeld: record?.isHeld ?? false,
    heldSha256: record?.heldSha256 ?? null,
    isFinished: record !== undefined && record.finishedInBoot !== null,
    isWanted: status.config.appliedSha256 !== null,
  };
}

async function statusIfKnown(client: ApiClient, name: string): Promise<VassalStatus | undefined> {
  try {
    return await client.status(name);
  } catch (error) {
    if (error instanceof EmperorError && error.code === 'no-such-vassal') return undefined;
    throw error;
  }
}
