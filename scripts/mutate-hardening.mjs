// npm run mutate:hardening: takes away each line that hardens the jail, one at a time, in a copy of this checkout, and
// looks whether a test notices. First those of behaviour; where none does, those that compare with a committed state.
// Prints a line for each, those that nobody noticed, and the score; ends with 1 where the score is below what is asked.
//
// node scripts/mutate-hardening.mjs [--only=PATTERN] [--shard=I/N] [--json=FILE] [--list]
//   --only      those whose name the regular expression matches, such as 'seccomp|plan.ts'
//   --shard     every Nth, from the Ith on
//   --json      writes the results there, too
//   --list      names them, and runs nothing
//
// Needs root, loop devices, and what `npm test` needs. The tests of a mutant run in a mount namespace of their own: some mutants let
// mounts get out of where they should be.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { findMutants } from './hardening-mutants.mjs';
import { sweep } from './sweep-tests.mjs';

const ROOT = resolve(import.meta.dirname, '..');
/** A test that hangs has noticed. */
const LIMIT_MS = 180_000;
/** In per cent: of behaviour, and of all. */
const WANTED = { behaviour: 85, all: 100 };
/** What the tests need besides what is in the repository; of distros nothing is changed. */
const COPIED = ['dist', 'build'];
const LINKED = ['node_modules', 'distros'];

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    shard: { type: 'string', default: '1/1' },
    json: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});

function wanted(mutants) {
  const [index, count] = options.shard.split('/').map(Number);
  const pattern = new RegExp(options.only);
  return mutants.filter(({ id }) => pattern.test(id)).filter((_, at) => at % count === index - 1);
}

/** The checkout as it is, in a directory of its own. */
function makeCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'emperor-mutants-'));
  const files = run(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    ROOT,
  ).stdout;
  for (const file of files.split('\0').filter((one) => one !== '' && !one.startsWith('distros/'))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(ROOT, file), join(copy, file));
  }
  for (const name of COPIED) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  for (const name of LINKED) symlinkSync(join(ROOT, name), join(copy, name));
  return copy;
}

function run(program, args, cwd, limitMs) {
  return spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(limitMs && { timeout: limitMs, killSignal: 'SIGKILL' }),
  });
}

const build = (copy) => run(process.execPath, ['scripts/build.mjs'], copy, LIMIT_MS).status === 0;

/** Which test fails; null where all pass. */
function failureOf(copy, files) {
  const vitest = ['node_modules/.bin/vitest', 'run', '--reporter=verbose', ...files];
  const alone = ['--mount', '--propagation', 'private', '--kill-child', '--fork', '--'];
  const { status, signal, stdout, stderr } = run('unshare', [...alone, ...vitest], copy, LIMIT_MS);
  if (status === 0) return null;
  sweep(copy);
  if (signal !== null) return 'it hangs';
  const text = `${stdout}${stderr}`.replaceAll(/\x1b\[[\d;]*m/g, '');
  return /^ *(?:×|FAIL) +(.*?)(?: \d+ms)?$/m.exec(text)?.[1] ?? text.trim().split('\n').at(-1);
}

/** How one mutant fares, whose file is as it was afterwards: `noticed` tells by which kind of test, `by` which one. */
function judge(copy, { file, content, tests }) {
  const original = readFileSync(join(copy, file));
  writeFileSync(join(copy, file), content);
  try {
    return verdictOf(copy, { file, tests });
  } finally {
    writeFileSync(join(copy, file), original);
  }
}

function verdictOf(copy, { file, tests }) {
  const stages = [
    ...tests.behaviour.map((files) => ['behaviour', files]),
    ['golden', tests.golden],
  ];
  for (const [noticed, files] of stages) {
    if (needsBuild(file, files) && !build(copy))
      return { noticed: 'build', by: 'it does not compile' };
    const by = failureOf(copy, files);
    if (by !== null) return { noticed, by };
  }
  return { noticed: 'nobody', by: '' };
}

/** Tests have TypeScript from src/, but for those that start an emperor. */
function needsBuild(file, tests) {
  return !file.endsWith('.ts') || tests.some((one) => /^test\/(?:security|e2e)\//.test(one));
}

/** Which of their tests fails without any change; undefined if none does. */
function faultOf(copy, mutants) {
  const stages = new Set(mutants.flatMap(({ tests }) => [...tests.behaviour, tests.golden]));
  for (const files of stages) {
    const fault = failureOf(copy, files);
    if (fault !== null) return fault;
  }
  return undefined;
}

function runAll(mutants) {
  const copy = makeCopy();
  try {
    const fault = build(copy) ? faultOf(copy, mutants) : 'it does not compile';
    if (fault) throw new Error(`Cannot tell anything: without any change a test fails: ${fault}`);
    return mutants.map((mutant) => {
      const begun = performance.now();
      const verdict = judge(copy, mutant);
      const seconds = Math.round((performance.now() - begun) / 100) / 10;
      console.log(
        `${verdict.noticed.padEnd(9)} ${String(seconds).padStart(5)} s  ${mutant.id}${verdict.by && `\n${' '.repeat(20)}${verdict.by}`}`,
      );
      return {
        id: mutant.id,
        file: mutant.file,
        line: mutant.line,
        what: mutant.what,
        ...verdict,
        seconds,
      };
    });
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** In per cent of those that compile. */
function scoreOf(results) {
  const count = (...kinds) => results.filter(({ noticed }) => kinds.includes(noticed)).length;
  const total = results.length - count('build');
  const percent = (part) => (total === 0 ? 100 : Math.floor((1000 * part) / total) / 10);
  return {
    total,
    behaviour: percent(count('behaviour')),
    all: percent(count('behaviour', 'golden')),
    uncompiled: count('build'),
  };
}

const mutants = wanted(findMutants(ROOT));
if (options.list) {
  for (const { id } of mutants) console.log(id);
} else {
  const results = runAll(mutants);
  const score = scoreOf(results);
  if (options.json) writeFileSync(options.json, `${JSON.stringify({ score, results }, null, 1)}\n`);
  for (const { id } of results.filter(({ noticed }) => noticed === 'nobody'))
    console.log(`UNNOTICED ${id}`);
  console.log(
    `${score.total} mutants: ${score.behaviour} % noticed by behaviour, ${score.all} % in all` +
      (score.uncompiled > 0 ? `; ${score.uncompiled} more do not compile` : ''),
  );
  process.exitCode = score.behaviour < WANTED.behaviour || score.all < WANTED.all ? 1 : 0;
}
