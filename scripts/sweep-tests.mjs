// What tests of a checkout leave that were killed, or could not clean up: workers, emperors, launchers, vassals, cgroups.
import { readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CGROUPS = '/sys/fs/cgroup';
const LIMIT_MS = 20_000;

/** Ends every process of the checkout at `root`, then those in cgroups of tests that nobody is left of, and removes these. */
export function sweep(root) {
  const until = Date.now() + LIMIT_MS;
  endAll(() => processesOf(root), until);
  const cgroups = abandonedCgroups();
  for (const path of cgroups) writeIfThere(join(path, 'freezer.state'), 'THAWED'); // else they cannot die
  endAll(() => cgroups.flatMap(membersOf), until);
  for (const path of cgroups) quietly(() => rmdirSync(path));
}

/** They run in it, or their program is from it. */
function processesOf(root) {
  return numbers(readdirSync('/proc')).filter((pid) =>
    ['cwd', 'exe'].some((link) => {
      const path = quietly(() => readlinkSync(`/proc/${pid}/${link}`)) ?? '';
      return path === root || path.startsWith(`${root}/`);
    }),
  );
}

/** Tests name theirs by the process that made them (test/support). Children before parents. */
function abandonedCgroups() {
  const hierarchies = [CGROUPS, ...directoriesIn(CGROUPS)];
  const tops = hierarchies.flatMap(directoriesIn).filter((path) => {
    const owner = /\/emperor-test-(\d+)-\d+$/.exec(path)?.[1];
    return owner !== undefined && quietly(() => readlinkSync(`/proc/${owner}/exe`)) === undefined;
  });
  const below = (path) => [...directoriesIn(path).flatMap(below), path];
  return tops.flatMap(below);
}

function directoriesIn(path) {
  const entries = quietly(() => readdirSync(path, { withFileTypes: true })) ?? [];
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name));
}

function membersOf(path) {
  const text = quietly(() => readFileSync(join(path, 'cgroup.procs'), 'utf8')) ?? '';
  return numbers(text.split('\n'));
}

/** 0 stands for a process of another pid namespace. */
function numbers(texts) {
  return texts.filter((text) => /^[1-9]\d*$/.test(text)).map(Number);
}

function endAll(pidsOf, until) {
  for (let pids = pidsOf(); pids.length > 0 && Date.now() < until; pids = pidsOf()) {
    for (const pid of pids) if (pid !== process.pid) quietly(() => process.kill(pid, 'SIGKILL'));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
}

function writeIfThere(path, text) {
  quietly(() => writeFileSync(path, text, { flag: 'r+' }));
}

/** What has ended or gone meanwhile is no failure. */
function quietly(act) {
  try {
    return act();
  } catch {
    return undefined;
  }
}
