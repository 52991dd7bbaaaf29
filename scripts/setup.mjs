// npm run setup: brings a fresh clone on a Debian machine to where `npm start` works. Node built-ins only,
// since it runs before `npm ci`. Does what is missing, says what that is, and nothing when all is there.
//
// node scripts/setup.mjs [--test] [--bench] [--v2]    also what tests need; also the peers of the benchmark; also the
//                                                     virtual machine of `npm run test:v2`
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BuildError, build } from './build.mjs';
import { fetchGuestKernel, GUEST_PACKAGES, guestKernel } from './guest-kernel.mjs';

// An old Node, which has no import.meta.dirname, shall come as far as checkMachine().
const ROOT = resolve(fileURLToPath(import.meta.url), '../..');
const OLDEST_NODE = [20, 19];

/** package → a file that shows it is there (several: any of them). */
const PACKAGES = {
  'ca-certificates': ['/etc/ssl/certs/ca-certificates.crt'],
  debootstrap: ['/usr/sbin/debootstrap'],
  e2fsprogs: ['/usr/sbin/mkfs.ext4', '/sbin/mkfs.ext4'],
  gcc: ['/usr/bin/gcc'],
  iproute2: ['/usr/sbin/ip', '/sbin/ip', '/usr/bin/ip', '/bin/ip'],
  'libc6-dev': ['/usr/include/stdio.h'],
  'libseccomp-dev': ['/usr/include/seccomp.h'],
  'linux-libc-dev': ['/usr/include/linux/mount.h'],
  mmdebstrap: ['/usr/bin/mmdebstrap'],
  'musl-tools': ['/usr/bin/musl-gcc'],
  'net-tools': ['/usr/sbin/ifconfig', '/sbin/ifconfig'],
  nftables: ['/usr/sbin/nft'],
};
const TEST_PACKAGES = {
  beanstalkd: ['/usr/bin/beanstalkd'],
  curl: ['/usr/bin/curl'],
  iptables: ['/usr/sbin/iptables', '/sbin/iptables'],
  'iputils-ping': ['/usr/bin/ping', '/bin/ping'],
  memcached: ['/usr/bin/memcached'],
  mount: ['/usr/bin/mount', '/bin/mount'],
  'openssh-client': ['/usr/bin/ssh'],
  'openssh-server': ['/usr/sbin/sshd'],
  'openssh-sftp-server': ['/usr/lib/openssh/sftp-server'],
  procps: ['/usr/bin/pgrep', '/bin/pgrep'],
  python3: ['/usr/bin/python3'],
  rsync: ['/usr/bin/rsync'],
  tmux: ['/usr/bin/tmux'],
  'redis-server': ['/usr/bin/redis-server'],
  traceroute: ['/usr/bin/traceroute.db'],
  'uwsgi-core': ['/usr/bin/uwsgi-core'],
  'vim-tiny': ['/usr/bin/vim.tiny', '/usr/bin/vim'],
};
const BENCH_PACKAGES = {
  'openssh-client': ['/usr/bin/ssh'],
  'openssh-server': ['/usr/sbin/sshd'],
  curl: ['/usr/bin/curl'],
  iperf3: ['/usr/bin/iperf3'],
  'iputils-ping': ['/usr/bin/ping', '/bin/ping'],
  python3: ['/usr/bin/python3'],
  'uwsgi-core': ['/usr/bin/uwsgi-core'],
  'uwsgi-emperor': ['/etc/uwsgi-emperor/emperor.ini'],
};

const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_MARK = '# made by the set-up of emperor';

/** A failure that is told in one sentence. */
class SetupError extends Error {}

async function setUp(options) {
  checkMachine();
  installPackages({
    ...PACKAGES,
    ...(options.test ? TEST_PACKAGES : {}),
    ...(options.bench ? BENCH_PACKAGES : {}),
    ...(options.v2 ? GUEST_PACKAGES : {}),
  });
  installModules();
  build({ sanitize: options.test });
  await buildDistro('bookworm');
  if (options.v2) fetchKernel();
}

function checkMachine() {
  if (process.platform !== 'linux') throw new SetupError('Cannot set up: Emperor needs Linux');
  const [major, minor] = process.versions.node.split('.').map(Number);
  const isOld = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);
  if (isOld) {
    throw new SetupError(
      `Cannot set up: this is Node ${process.versions.node}, and Emperor needs ${OLDEST_NODE.join('.')} or newer`,
    );
  }
  if (process.getuid() !== 0) throw new SetupError('Cannot set up: not root; run it with sudo');
}

function installPackages(wanted) {
  const missing = Object.keys(wanted).filter((name) => !wanted[name].some(existsSync));
  if (missing.length === 0) return;
  if (!existsSync('/usr/bin/apt-get')) {
    throw new SetupError(
      `Cannot set up: there is no apt-get; install ${missing.join(', ')} yourself`,
    );
  }
  say(`installing Debian packages: ${missing.join(' ')}`);
  withoutDaemons(() => {
    apt('update', []);
    apt('install', ['--yes', '--no-install-recommends', ...missing]);
  });
}

function apt(verb, args) {
  const quiet = ['-q', '-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=300'];
  const { status } = spawnSync('apt-get', [...quiet, verb, ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (status === 0) return;
  throw new SetupError(`Cannot set up: \`apt-get ${verb}\` failed; is the network there?`);
}

/** Packages ask policy-rc.d before they start a daemon; ours says no (invoke-rc.d(8)). A Ctrl-C must not leave it behind. */
function withoutDaemons(action) {
  const isOurs = !existsSync(POLICY) || readFileSync(POLICY, 'utf8').includes(POLICY_MARK);
  const stay = () => {};
  process.on('SIGINT', stay);
  try {
    if (isOurs) writeFileSync(POLICY, `#!/bin/sh\n${POLICY_MARK}\nexit 101\n`, { mode: 0o755 });
    action();
  } finally {
    if (isOurs) rmSync(POLICY, { force: true });
    process.off('SIGINT', stay);
  }
}

function installModules() {
  if (hasModules()) return;
  say('installing node modules as package-lock.json names them');
  const { status } = spawnSync('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new SetupError('Cannot set up: `npm ci` failed; is the network there?');
}

/** npm notes what it installed, and writes that note last. */
function hasModules() {
  const note = join(ROOT, 'node_modules/.package-lock.json');
  if (!existsSync(note)) return false;
  const installed = JSON.parse(readFileSync(note, 'utf8')).packages;
  const locked = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(locked).every(([path, { version, optional }]) => {
    return path === '' || optional === true || installed[path]?.version === version;
  });
}

async function buildDistro(name) {
  const directory = join(ROOT, 'distros');
  if (existsSync(join(directory, name))) return;
  say(`building distros/${name}, the root file system of the sample vassals (about half a minute)`);
  mkdirSync(directory, { recursive: true });
  const { addDistro } = await import('../dist/distro/build.js');
  try {
    await addDistro({ directory, name, onProgress: (line) => console.log(`  ${line}`) });
  } catch (error) {
    if (error.name !== 'EmperorError') throw error;
    throw new SetupError(error.message);
  }
}

function fetchKernel() {
  if (guestKernel() !== null) return;
  say('fetching the kernel of Debian for the guest of `npm run test:v2`');
  apt('update', []);
  try {
    fetchGuestKernel();
  } catch (error) {
    throw new SetupError(`Cannot set up: ${error.message}; is the network there?`);
  }
}

function say(line) {
  console.log(`set-up: ${line}`);
}

try {
  const has = (word) => process.argv.includes(word);
  await setUp({ test: has('--test'), bench: has('--bench'), v2: has('--v2') });
} catch (error) {
  if (!(error instanceof SetupError || error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
