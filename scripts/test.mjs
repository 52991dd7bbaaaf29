// npm test: every test, the fast ones first. Ends with `N passed, N failed` alone on a line; a skipped test
// must be named in test/skips.txt with its reason, else it counts as failed. Ends by itself, whatever hangs.
//
// [TEST_LIMIT_SECONDS=1200] node scripts/test.mjs [--project=unit|kernel] [vitest arguments, such as a path]
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { runLimited } from './limited-run.mjs';
import { JOURNAL_VARIABLE, readJournal } from './test-journal.mjs';

const ROOT = resolve(import.meta.dirname, '..');
const { projects, filters } = argumentsOf(process.argv.slice(2));
/** Three times what all tests take. */
const LIMIT_MS = Number(process.env.TEST_LIMIT_SECONDS ?? 1200) * 1000;
const FILTER_LIMIT_MS = Math.min(10_000, LIMIT_MS);

const directory = mkdtempSync(join(tmpdir(), 'emperor-test-'));
const deadline = performance.now() + LIMIT_MS;

function argumentsOf(words) {
  const option = '--project=';
  const named = words.filter((word) => word.startsWith(option));
  return {
    projects:
      named.length > 0 ? named.map((word) => word.slice(option.length)) : ['unit', 'kernel'],
    filters: words.filter((word) => !named.includes(word)),
  };
}

/** Says so, and returns false, where the kernel hangs as limited-run.mjs and seccomp-check.mjs have it. */
async function canLoadFilters() {
  const check = [process.execPath, join(ROOT, 'scripts/seccomp-check.mjs')];
  const { isOverdue } = await runLimited(check, { limitMs: FILTER_LIMIT_MS, cwd: ROOT });
  if (!isOverdue) return true;
  console.log(
    `FAILED before any test: the kernel loads no system call filter within ${FILTER_LIMIT_MS / 1000} s; ` +
      'it hangs, and only a reboot helps',
  );
  return false;
}

async function runProject(project) {
  const journal = join(directory, `${project}.jsonl`);
  const command = [
    join(ROOT, 'node_modules/.bin/vitest'),
    ...['run', '--project', project, '--passWithNoTests'],
    ...['--reporter=default', `--reporter=${join(ROOT, 'scripts/test-journal.mjs')}`],
    ...filters,
  ];
  const limitMs = Math.max(0, deadline - performance.now());
  const env = { [JOURNAL_VARIABLE]: journal };
  const result = await runLimited(command, { limitMs, cwd: ROOT, env });
  return { project, ...result, files: readJournal(journal) };
}

/** Runs the projects until one is over time, or we are told to end. */
async function runProjects() {
  const results = [];
  for (const project of projects) {
    const result = await runProject(project);
    results.push(result);
    if (result.isOverdue || result.isInterrupted) break;
  }
  return results;
}

/** Says what failed besides tests, and counts all. */
function count({ project, status, files, isOverdue }) {
  const tests = files.flatMap((file) => file.tests);
  const of = (state) => tests.filter((test) => test.state === state);
  const broken = files.filter(
    ({ state, tests: own }) => state === 'failed' && !own.some((test) => test.state === 'failed'),
  );
  for (const { file } of broken) console.log(`FAILED to run: ${file}`);
  const hanging = files.filter(({ state }) => state === null);
  for (const { file, running } of hanging) {
    console.log(
      `FAILED to end: ${file}${running === null ? '' : ` > ${running}, or what follows`}`,
    );
  }
  const failed = of('failed').length + broken.length + hanging.length;
  const isSilentFailure = status !== 0 && failed === 0;
  if (isOverdue) {
    console.log(`FAILED: the tests had not ended after ${LIMIT_MS / 1000} s, and were killed`);
  } else if (isSilentFailure) {
    console.log(`FAILED outside any test: project ${project}, status ${status}`);
  }
  return {
    passed: of('passed').length,
    failed: failed + (isSilentFailure ? 1 : 0),
    skipped: of('skipped'),
  };
}

/** Lines `FILE > TITLE: REASON`; # begins a comment. */
function allowedSkips() {
  return readFileSync(join(ROOT, 'test/skips.txt'), 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'));
}

/** Those that count as failed. With filters, a test may be skipped since nobody asked for it. */
function surprising(skipped) {
  if (filters.length > 0) return [];
  const allowed = allowedSkips();
  return skipped.filter(
    ({ file, title }) => !allowed.some((line) => line.startsWith(`${file} > ${title}: `)),
  );
}

async function main() {
  if (!(await canLoadFilters())) return { passed: 0, failed: 1 };
  const counts = (await runProjects()).map(count);
  const sum = (key) => counts.reduce((total, each) => total + each[key], 0);
  const skipped = counts.flatMap((each) => each.skipped);
  const unexplained = surprising(skipped);
  for (const skip of skipped) {
    const word = unexplained.includes(skip) ? 'FAILED (new skip)' : 'skipped';
    console.log(`${word}: ${skip.file} > ${skip.title}`);
  }
  return { passed: sum('passed'), failed: sum('failed') + unexplained.length };
}

/** The closing line comes whatever happens: who counts would take none for a run that was never made. */
async function countAll() {
  try {
    return await main();
  } catch (error) {
    console.log(`FAILED outside any test: ${error.stack}`);
    return { passed: 0, failed: 1 };
  }
}

function removeJournals() {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch (error) {
    // What could not be killed may write one still.
    console.log(`${directory} stays: ${error.message}`);
  }
}

const { passed, failed } = await countAll();
removeJournals();
console.log(`${passed} passed, ${failed} failed`);
// What could not be killed is a child of ours still, and nothing to wait for.
process.exit(failed > 0 || passed === 0 ? 1 : 0);
