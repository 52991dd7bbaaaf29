// Doors: how long it takes to get into a vassal, and what a session costs. Peers in the same run: nsenter for
// `emperor exec`, an account of the host at the same sshd for a login.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { row } from './table.mjs';
import { median, ROOT, until, World } from './world.mjs';

const BINARY = join(ROOT, 'bin/emperor');
const MACHINE = join(ROOT, 'test/support/ssh-machine.sh');
const SLEEP = '[vassal]\ncommand = /opt/sleep\n';
const PORT = '2222';
const SESSIONS = 20;
/** A customer's, and one of the host. */
const ACCOUNTS = ['customer', 'plain'];

export async function doors(scale) {
  const rounds = Math.max(5, Math.round(40 * scale));
  const world = new World();
  try {
    await world.start();
    world.write('v0', SLEEP);
    await world.untilRunning(1);
    const { pid } = await world.ask('/v1/vassals/v0');
    await executing(world, pid, rounds);
    if (existsSync('/usr/sbin/sshd')) await loggingIn(world, pid, rounds);
    else console.log('openssh-server is not installed (npm run setup -- --bench): no logins');
  } finally {
    await world.close();
  }
}

/** In turns, there and back, so that what else the machine does meets all alike. */
async function turns(rounds, actions) {
  const found = actions.map(() => []);
  for (let i = 0; i < rounds; i += 1) {
    const order = [...actions.keys()];
    for (const index of i % 2 ? order.reverse() : order) found[index].push(await actions[index]());
  }
  return found;
}

/** Measures an action in milliseconds. */
function timed(action) {
  return () => {
    const begin = performance.now();
    action();
    return performance.now() - begin;
  };
}

/** Of neighbours in time: what else the machine does may be ten times as much. */
function beyond(ones, others) {
  return median(ones.map((one, i) => one - others[i]));
}

async function executing(world, pid, rounds) {
  const program = readlinkSync(`/proc/${pid}/exe`);
  const binary = `/proc/${pid}/exe`;
  const socket = join(world.run, 'vassals/v0/init.sock');
  const { uid } = JSON.parse(world.cli('status', 'v0', '--json'));
  const run = (expected, [file, ...args]) => {
    const { status, stderr } = spawnSync(file, args, { encoding: 'utf8' });
    if (status !== expected) throw new Error(`${file} ended with ${status}: ${stderr}`);
  };
  const cli = (where, expected) =>
    run(expected, [BINARY, '--socket', join(world.run, where), 'exec', 'v0', '--', '/bin/true']);
  const init = existsSync(program) ? program : binary;
  const enter = ['-t', `${pid}`, '-m', '-u', '-i', '-n', '-p', '-S', `${uid}`, '-G', `${uid}`];
  const [exec, start, attach, nsenter] = await turns(rounds, [
    timed(() => cli('emperor.sock', 0)),
    // As far as the same comes where nobody listens.
    timed(() => cli('nobody.sock', 125)),
    timed(() => run(0, [init, 'attach', socket, '/', '--', '/bin/true'])),
    timed(() => run(0, ['nsenter', ...enter, '/bin/true'])),
  ]);
  row('`emperor exec` of /bin/true beyond the start of the CLI, p50', beyond(exec, start), {
    ...{ unit: 'ms', digits: 1, bound: ['<=', 15], peer: median(nsenter) },
  });
  row('  its C program alone, beside nsenter, p50', median(attach), {
    ...{ unit: 'ms', digits: 1, bound: ['<=', 15], peer: median(nsenter) },
  });
}

async function loggingIn(world, pid, rounds) {
  const place = mkdtempSync('/tmp/emperor-bench-ssh-');
  const holder = spawn('unshare', ['-m', 'sh', MACHINE, place], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let sshd;
  try {
    await new Promise((made) => holder.stdout.once('data', made));
    const machine = machineOf(holder.pid, world);
    const uid = makeAccounts(machine, world);
    world.write('v0', `${SLEEP}ssh-user = ${uid}\n`);
    sshd = machine.spawn(
      '/usr/sbin/sshd',
      ...['-D', '-e', '-p', PORT, '-o', 'UsePAM=no', '-o', 'MaxStartups=100'],
    );
    // It waits for whoever reads what it says.
    sshd.stderr.resume();
    await until(() => isIn(machine, world), 'the customer is in');
    await measureLogins(machine, world, rounds);
    await measureSessions(machine, world, pid);
  } finally {
    await ended(sshd, () => sshd?.kill('SIGTERM'));
    await ended(holder, () => holder.stdin.end());
    rmSync(place, { recursive: true });
  }
}

async function ended(child, end) {
  if (!child || child.exitCode !== null) return;
  const exit = new Promise((done) => child.once('exit', done));
  end();
  await exit;
}

function machineOf(pid, world) {
  const enter = [`--mount=/proc/${pid}/ns/mnt`, `--net=/run/netns/${world.netns}`, '--'];
  return {
    run: (...command) =>
      execFileSync('nsenter', [...enter, ...command], { encoding: 'utf8', stdio: 'pipe' }),
    spawn: (...command) => spawn('nsenter', [...enter, ...command], { stdio: 'pipe' }),
    /** Whether that process is a login by its sshd. */
    hasLogin: (one) => {
      try {
        const isLogin = readFileSync(`/proc/${one}/comm`, 'utf8') === 'emperor-login\n';
        return (
          isLogin && readlinkSync(`/proc/${one}/ns/mnt`) === readlinkSync(`/proc/${pid}/ns/mnt`)
        );
      } catch {
        // It has ended since.
        return false;
      }
    },
  };
}

/** A customer of v0, and somebody of the host's with the same key; returns the uid of the customer. */
function makeAccounts(machine, world) {
  execFileSync('ip', ['-n', world.netns, 'link', 'set', 'lo', 'up']);
  const key = join(world.directory, 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const setup = ['ssh', 'setup', 'v0', '--user', 'customer', '--key', `${key}.pub`, '--write'];
  machine.run(BINARY, '--ini', world.ini, ...setup);
  machine.run(...'useradd -m -d /run/plain -p * -s /bin/bash plain'.split(' '));
  machine.run('sh', '-c', `mkdir /run/plain/.ssh; cp ${key}.pub /run/plain/.ssh/authorized_keys`);
  machine.run('touch', '/run/plain/.hushlogin');
  // The customer's home is empty, too.
  machine.run('rm', '-f', '/run/plain/.bashrc', '/run/plain/.profile');
  return Number(machine.run('id', '-u', 'customer'));
}

function sshLine(world, account, ...more) {
  const settings = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
  const options = settings.flatMap((setting) => ['-o', setting]);
  const key = join(world.directory, 'key');
  return ['ssh', '-F', 'none', ...options, '-i', key, '-p', PORT, `${account}@127.0.0.1`, ...more];
}

function isIn(machine, world) {
  try {
    return machine.run(...sshLine(world, 'customer', 'echo in')) === 'in\n';
  } catch {
    // sshd listens, or the door is open, in a moment.
    return false;
  }
}

/**
 * A whole login, and what differs in it: the way from the request of a shell to its prompt, over connections that are
 * open already, since exchanging keys takes most of the time, and most of what it varies by.
 */
async function measureLogins(machine, world, rounds) {
  const [customers, plains] = await prompts(machine, world, { rounds, options: () => [] });
  row('ssh login to the prompt, beside plain sshd, p50', median(customers), {
    ...{ unit: 'ms', digits: 1, peer: median(plains) },
  });
  const control = (account) => ['-S', join(world.directory, `control-${account}`)];
  const masters = ACCOUNTS.map((account) =>
    machine.spawn(...sshLine(world, account, ...control(account), '-M', '-N')),
  );
  await until(() => ACCOUNTS.every((one) => existsSync(control(one)[1])), 'open connections');
  const [ones, others] = await prompts(machine, world, { rounds: 3 * rounds, options: control });
  row('  of it, from the request of a shell to its prompt, p50', median(ones), {
    ...{ unit: 'ms', digits: 1, peer: median(others) },
  });
  row('  what the door adds, p50', beyond(ones, others), {
    ...{ unit: 'ms', digits: 1, bound: ['<=', 10] },
  });
  for (const master of masters) await ended(master, () => master.kill('SIGTERM'));
}

/** Milliseconds to the prompt of each account, in turns. */
function prompts(machine, world, { rounds, options }) {
  const lines = ACCOUNTS.map((account) => sshLine(world, account, ...options(account), '-tt'));
  return turns(
    rounds,
    lines.map((line) => () => toPrompt(machine, line)),
  );
}

/** Milliseconds from the start of ssh to a shell's prompt. */
async function toPrompt(machine, line) {
  const begin = performance.now();
  const child = machine.spawn(...line);
  const prompt = await new Promise((done, fail) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      if (text.includes('$ ')) done(performance.now());
    });
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    child.once('exit', () => fail(new Error(`no prompt: ${text}`)));
  });
  await ended(child, () => child.stdin.end('exit\r'));
  return prompt - begin;
}

/** What sessions add to the login programs and to init; shell and sshd are the same as anywhere. */
async function measureSessions(machine, world, pid) {
  const before = pssKib(pid);
  const children = Array.from({ length: SESSIONS }, () =>
    machine.spawn(...sshLine(world, 'customer', '-tt')),
  );
  const logins = () =>
    readdirSync('/proc').filter((one) => /^\d+$/.test(one) && machine.hasLogin(one));
  await until(() => logins().length === SESSIONS && sessionsOf(world) === SESSIONS, 'sessions');
  const programs = logins().reduce((sum, login) => sum + pssKib(login), 0);
  const each = (programs + pssKib(pid) - before) / SESSIONS;
  row(`memory of a session, of ${SESSIONS}, shell and sshd aside`, each, {
    ...{ unit: 'KB', bound: ['<=', 1024] },
  });
  for (const child of children) await ended(child, () => child.stdin.end('exit\r'));
}

function sessionsOf(world) {
  const { processes } = JSON.parse(world.cli('status', 'v0', '--json'));
  return processes.filter(({ kind }) => kind === 'session').length;
}

function pssKib(pid) {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);
}
