/**
 * Every system call number of x86_64 against the filter, compared with test/fixtures/syscalls.golden. After a change of
 * src/jail/native/seccomp.profile, `npx vitest run --project kernel test/kernel/syscalls.test.ts -u` writes the list anew:
 * what changed in it is what to review.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NATIVE } from '../../src/base/checkout.ts';
import { errnoName } from '../../src/linux/errno.ts';
import { compileFixture, FIXTURES } from '../support/compile.ts';

/** file_setattr, the last call of Linux 6.18. */
const LAST_KNOWN = 469;
const CALLS_TO_COME = 64;

/** struct sock_filter: BPF_RET with SECCOMP_RET_ALLOW. */
const ALLOWS_ALL = Uint8Array.of(6, 0, 0, 0, 0, 0, 255, 127);

interface Verdict {
  /** `` for a call of this machine's own, the convention by which it was called, or what its argument is. */
  readonly kind: string;
  readonly number: number;
  readonly verdict: string;
}

let directory: string;
let program: string;

function sweep(filter: string): readonly Verdict[] {
  const output = execFileSync(program, [filter, String(LAST_KNOWN + CALLS_TO_COME)], {
    encoding: 'utf8',
  });
  return [...output.matchAll(/^([\w-]+ )?(\d+) (.+)$/gm)].map(
    ([, kind = '', number = '', verdict = '']) => ({
      kind,
      number: Number(number),
      verdict: /^\d+$/.test(verdict) ? errnoName(Number(verdict)) : verdict,
    }),
  );
}

/** One line for each run of numbers with the same verdict. */
function listOf(verdicts: readonly Verdict[]): string {
  const runs: { kind: string; first: number; last: number; verdict: string }[] = [];
  for (const { kind, number, verdict } of verdicts) {
    const run = runs.at(-1);
    if (run?.kind === kind && run.verdict === verdict && run.last + 1 === number) run.last = number;
    else runs.push({ kind, first: number, last: number, verdict });
  }
  return runs
    .map(({ kind, first, last, verdict }) =>
      first === last ? `${kind}${first} ${verdict}\n` : `${kind}${first}-${last} ${verdict}\n`,
    )
    .join('');
}

describe('of all system call numbers', () => {
  let verdicts: readonly Verdict[];

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'emperor-syscalls-'));
    program = join(directory, 'sweeps-syscalls');
    compileFixture('sweeps-syscalls', program);
    verdicts = sweep(join(NATIVE, 'seccomp.bpf'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test('the filter says what the committed list says', async () => {
    await expect(listOf(verdicts)).toMatchFileSnapshot(join(FIXTURES, 'syscalls.golden'));
  });

  test('those that Linux does not have yet are refused as if it did not have them', () => {
    const unknown = verdicts.filter(({ kind, number }) => kind === '' && number > LAST_KNOWN);
    expect(unknown).toHaveLength(CALLS_TO_COME);
    expect(new Set(unknown.map(({ verdict }) => verdict))).toEqual(new Set(['ENOSYS']));
  });

  test('those of x32 and i386 end the process, whichever they are', () => {
    const foreign = verdicts.filter(({ kind }) => /^(x32|i386) /.test(kind));
    expect(foreign.map(({ kind }) => kind.trim())).toEqual(expect.arrayContaining(['x32', 'i386']));
    expect(new Set(foreign.map(({ verdict }) => verdict))).toEqual(new Set(['killed']));
  });

  test('every one would be allowed by a filter that allows all, so that refusals are ours', () => {
    const path = join(directory, 'allows-all.bpf');
    writeFileSync(path, ALLOWS_ALL);
    const isOwn = ({ kind }: Verdict) => !/^(x32|i386) /.test(kind);
    const own = sweep(path).filter(isOwn);
    expect(own).toHaveLength(verdicts.filter(isOwn).length);
    expect(new Set(own.map(({ verdict }) => verdict))).toEqual(new Set(['allowed']));
  });
});

describe('a profile', () => {
  const compile = (text: string) => {
    const path = join(mkdtempSync(join(tmpdir(), 'emperor-profile-')), 'profile');
    writeFileSync(path, text);
    const program = join(NATIVE, 'seccomp-profile');
    const { status, stderr } = spawnSync(program, [path, `${path}.bpf`], { encoding: 'utf8' });
    rmSync(dirname(path), { recursive: true });
    return status === 0 ? 'made' : stderr;
  };

  test.each([
    ['allow read\n# allow nothing\n\nEPERM mount\n', 'made'],
    ['allow cachestat=451 file_setattr=469\n', 'made'],
    ['allow reed\n', /: reed: no such system call/],
    ['allow read\nEPERM write read\n', /: read: stands twice/],
    ['permit read\n', /: permit: no such action/],
    ['allow read=1\n', /: read: has another number/],
  ])('%j is made, or its mistake is told', (text, result) => {
    expect(compile(text)).toMatch(result);
  });
});
