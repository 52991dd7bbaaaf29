// npm test: every test, the fast ones first. Ends with `N passed, N failed` alone on a line; a skipped test
// must be named in test/skips.txt with its reason, else it counts as failed.
//
// node scripts/test.mjs [vitest arguments, such as a path]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '..');
const PROJECTS = ['unit', 'kernel'];
const filters = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), 'emperor-test-'));

/** Runs one project; returns its result as vitest's json reporter has it, and the exit status. */
function runProject(project) {
  const output = join(directory, `${project}.json`);
  const { status } = spawnSync(
    join(ROOT, 'node_modules/.bin/vitest'),
    [
      'run',
      ...['--project', project],
      ...['--reporter=default', '--reporter=json', `--outputFile.json=${output}`],
      '--passWithNoTests',
      ...filters,
    ],
    { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const files = existsSync(output) ? JSON.parse(readFileSync(output, 'utf8')).testResults : [];
  return { project, status, files };
}

function count({ project, status, files }) {
  const tests = files.flatMap(({ name, assertionResults }) =>
    assertionResults.map((test) => ({ ...test, file: relative(ROOT, name) })),
  );
  const of = (...states) => tests.filter((test) => states.includes(test.status));
  const broken = files.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some(isFailed),
  );
  for (const file of broken) console.log(`FAILED to run: ${relative(ROOT, file.name)}`);
  const failed = of('failed').length + broken.length;
  const isSilentFailure = status !== 0 && failed === 0;
  if (isSilentFailure) console.log(`FAILED outside any test: project ${project}, status ${status}`);
  return {
    passed: of('passed').length,
    failed: failed + (isSilentFailure ? 1 : 0),
    skipped: of('pending', 'skipped', 'todo', 'disabled'),
  };
}

function isFailed(test) {
  return test.status === 'failed';
}

/** Lines `FILE > TITLE: REASON`; # begins a comment. */
function allowedSkips() {
  return readFileSync(join(ROOT, 'test/skips.txt'), 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'));
}

try {
  const counts = PROJECTS.map(runProject).map(count);
  const sum = (key) => counts.reduce((total, each) => total + each[key], 0);
  const allowed = allowedSkips();
  const isAllowed = (skip) =>
    allowed.some((line) => line.startsWith(`${skip.file} > ${skip.fullName}: `));
  const skipped = counts.flatMap((each) => each.skipped);
  const surprising = filters.length > 0 ? [] : skipped.filter((skip) => !isAllowed(skip));
  for (const skip of skipped) {
    console.log(
      `${surprising.includes(skip) ? 'FAILED (new skip)' : 'skipped'}: ${skip.file} > ${skip.fullName}`,
    );
  }
  const passed = sum('passed');
  const failed = sum('failed') + surprising.length;
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
