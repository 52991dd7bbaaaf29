// npm run test:v2: the tests that need root, on Debian's own kernel with cgroup v2 alone, as users have it: in a
// virtual machine that sees the files of this one, and changes none (guest-init.sh). Ends with `N passed, N failed`
// alone on a line, and by itself, whatever hangs. Node built-ins only.
//
// node scripts/test-v2.mjs [vitest arguments, such as a path]
// node scripts/test-v2.mjs --run 'COMMAND'    a command of the shell instead of tests; ends with its exit status
//
// GUEST_LIMIT_SECONDS (10800) for all of it; GUEST_MEMORY_MB (6144); TEST_SLOWNESS, the factor that test/support/
// slowness.ts has: without virtualization by the processor, the machine is emulated.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { guestKernel, makeInitialFiles } from './guest-kernel.mjs';
import { runLimited } from './limited-run.mjs';

const ROOT = resolve(import.meta.dirname, '..');
const LIMIT_SECONDS = Number(process.env.GUEST_LIMIT_SECONDS ?? 10_800);
/** The tests end so long before, to say what hung. */
const LAST_WORDS_SECONDS = 120;
const MEMORY_MB = Number(process.env.GUEST_MEMORY_MB ?? 6144);
const CPUS = Math.max(2, availableParallelism());
const SLOWNESS = Number(process.env.TEST_SLOWNESS ?? (isVirtualized() ? 2 : 10));

/** Does the processor virtualize? Without that, there may be a /dev/kvm all the same. */
function isVirtualized() {
  const flags = /^flags\t: .* (vmx|svm) /m;
  return existsSync('/dev/kvm') && flags.test(readFileSync('/proc/cpuinfo', 'utf8'));
}

/** The script of the shell that the guest runs. */
function scriptOf(command) {
  const variables = {
    NO_COLOR: 1,
    TEST_LIMIT_SECONDS: LIMIT_SECONDS - LAST_WORDS_SECONDS,
    TEST_SLOWNESS: SLOWNESS,
    VITEST_MAX_WORKERS: CPUS,
  };
  const exports = Object.entries(variables).map(([name, value]) => `export ${name}=${value}`);
  return [`cd ${quoted(ROOT)} || exit`, ...exports, command, ''].join('\n');
}

const quoted = (word) => `'${word.replaceAll("'", "'\\''")}'`;

/** Runs `command` in the guest, and passes on what it prints; returns its exit status, or null, having said why. */
async function runInGuest(kernel, command, directory) {
  const job = join(directory, 'job');
  mkdirSync(job);
  writeFileSync(join(job, 'command'), scriptOf(command));
  const initial = makeInitialFiles(kernel, directory);
  const output = join(directory, 'output');
  const log = join(directory, 'kernel.log');
  const server = createServer((socket) => socket.pipe(process.stdout, { end: false }));
  await new Promise((done) => server.listen(output, done));
  const qemu = ['qemu-system-x86_64', ...machineOf({ kernel, initial, job, output, log })];
  const ended = await runLimited(qemu, { limitMs: LIMIT_SECONDS * 1000, cwd: ROOT });
  await new Promise((done) => server.close(done));
  const status = join(job, 'status');
  if (existsSync(status)) return Number(readFileSync(status, 'utf8'));
  sayWhy(ended, log);
  return null;
}

function machineOf({ kernel, initial, job, output, log }) {
  const share = (tag, path) => {
    return `local,mount_tag=${tag},path=${path},security_model=none,multidevs=remap`;
  };
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    // Tables of pages with five levels would only cost time.
    ...['-accel', isVirtualized() ? 'kvm' : 'tcg,thread=multi', '-cpu', 'max,la57=off'],
    ...['-smp', String(CPUS), '-m', String(MEMORY_MB)],
    ...['-kernel', kernel.image, '-initrd', initial, '-append', 'console=ttyS0 panic=-1'],
    ...['-serial', `file:${log}`],
    ...['-chardev', `socket,id=output,path=${output}`],
    ...['-device', 'virtio-serial', '-device', 'virtserialport,chardev=output'],
    ...['-virtfs', `${share('root', '/')},readonly=on`],
    ...['-virtfs', `${share('modules', kernel.modules)},readonly=on`],
    ...['-virtfs', share('job', job)],
  ];
}

function sayWhy({ isOverdue, isInterrupted, status }, log) {
  const lines = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : [];
  say(`The guest's kernel said last:\n  ${lines.slice(-30).join('\n  ')}`);
  if (isOverdue) say(`FAILED: the guest had not ended after ${LIMIT_SECONDS} s, and was killed`);
  else if (isInterrupted) say('FAILED: the guest was ended');
  else say(`FAILED: the guest ended without a word; status of qemu: ${status}`);
}

function say(line) {
  console.log(line);
}

async function run(command) {
  const kernel = guestKernel();
  if (kernel === null) {
    say('FAILED: there is no kernel for the guest; run `node scripts/setup.mjs --test --v2`');
    return null;
  }
  const directory = mkdtempSync(join(tmpdir(), 'emperor-guest-'));
  try {
    return await runInGuest(kernel, command, directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** test.mjs counts, unless something killed it. */
async function runTests(filters) {
  const status = await run(
    ['node', 'scripts/test.mjs', '--project=kernel', ...filters].map(quoted).join(' '),
  );
  if (status !== 0 && status !== 1) say('0 passed, 1 failed');
  return status;
}

const words = process.argv.slice(2);
const status = words[0] === '--run' ? await run(words.slice(1).join(' ')) : await runTests(words);
process.exit(status ?? 1);
