// The benchmarks' own world: a network namespace as the host, directories, cgroup parent, one emperor.
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { get } from 'node:http';
import { join, resolve } from 'node:path';
import { kernelHeaders } from '../scripts/build.mjs';

export const ROOT = resolve(import.meta.dirname, '..');
const BINARY = join(ROOT, 'bin/emperor');
/** Where cgroup v2 is mounted: beside v1 controllers, or alone. */
const BESIDE_V1 = '/sys/fs/cgroup/unified';
export const CGROUPS = existsSync(BESIDE_V1) ? BESIDE_V1 : '/sys/fs/cgroup';

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export async function until(probe, what, timeoutMs = 120_000, everyMs = 20) {
  const deadline = performance.now() + timeoutMs;
  while (!(await probe())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await sleep(everyMs);
  }
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Compiles bench/programs statically; the directory is bound to /opt in every vassal. */
export function buildPrograms(directory) {
  mkdirSync(directory, { recursive: true });
  for (const name of ['stamp', 'sleep', 'bare', 'rr', 'bare-router']) {
    compile(join(ROOT, 'bench/programs', `${name}.c`), join(directory, name));
  }
}

/** Statically. */
export function compile(source, program) {
  const options = ['-static', '-Os', '-s', ...kernelHeaders()];
  execFileSync('musl-gcc', [...options, '-o', program, source]);
}

export function memAvailableBytes() {
  const text = readFileSync('/proc/meminfo', 'utf8');
  return Number(/^MemAvailable:\s+(\d+)/m.exec(text)[1]) * 1024;
}

/** Seconds of cpu that a process has used. */
export function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export function rssBytes(pid) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}

/**
 * Mounts an ext4 of its own at `directory`, and returns its image: for five minutes ext4 looks past each
 * inode that was deleted, so on the machine's own disk an earlier run would slow down the next.
 */
export function mountFreshDisk(directory) {
  const image = `${directory}.img`;
  try {
    execFileSync('truncate', ['-s', '8G', image]);
    execFileSync('mkfs.ext4', ['-q', '-F', image]);
    execFileSync('mount', ['-o', 'loop', image, directory], { stdio: 'pipe' });
    return image;
  } catch (error) {
    console.log(`no disk of its own (${error.message.split('\n')[0]}): using ${directory}`);
    rmSync(image, { force: true });
    return null;
  }
}

/** Unmounts what mountFreshDisk() returned, if anything. */
export function unmountDisk(directory, image) {
  if (image === null) return;
  execFileSync('umount', [directory]);
  rmSync(image);
}

let count = 0;

export class World {
  constructor() {
    count += 1;
    this.directory = mkdtempSync('/var/tmp/emperor-bench-');
    this.disk = mountFreshDisk(this.directory);
    // On a tmpfs, as /run is.
    this.run = mkdtempSync('/dev/shm/emperor-bench-');
    this.vassals = join(this.directory, 'vassals');
    this.opt = join(this.directory, 'opt');
    this.ini = join(this.directory, 'emperor.ini');
    this.netns = `emperor-bench-${process.pid}-${count}`;
    this.cgroupParent = `emperor-bench-${process.pid}-${count}`;
    this.interrupt = () => {
      this.daemon?.kill('SIGINT');
      process.exit(130);
    };
    process.on('SIGINT', this.interrupt);
    mkdirSync(this.vassals);
    buildPrograms(this.opt);
    execFileSync('ip', ['netns', 'add', this.netns]);
    const path = (name) => join(this.directory, name);
    writeFileSync(
      this.ini,
      `[emperor]
vassals = ${this.vassals}
distros = ${join(ROOT, 'distros')}
distro = bookworm
opt = ${this.opt}
homes = ${path('homes')}
run-dir = ${this.run}
state-dir = ${path('state')}
log-dir = ${path('log')}
cgroup-parent = ${this.cgroupParent}
log-level = warn
`,
    );
  }

  /** Starts the emperor; resolves with the milliseconds until it says ready. */
  async start() {
    this.output = '';
    this.daemon = spawn('ip', ['netns', 'exec', this.netns, BINARY, 'run', '--ini', this.ini], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
      // In a session of its own, as systemd starts it: it hears our Ctrl-C from us.
      detached: true,
    });
    for (const stream of [this.daemon.stdout, this.daemon.stderr]) {
      stream.on('data', (chunk) => {
        this.output += chunk;
      });
    }
    await until(
      () => {
        if (this.daemon.exitCode !== null) throw new Error(this.output);
        return /^ready$/m.test(this.output);
      },
      'ready',
      120_000,
      2,
    );
  }

  cli(...args) {
    return execFileSync(BINARY, ['--ini', this.ini, ...args], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
  }

  /** Asks the API as a panel does; a process of the CLI for each question would be what is measured. */
  async ask(path) {
    const socketPath = join(this.run, 'emperor.sock');
    return new Promise((resolve, reject) => {
      const request = get({ socketPath, path }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve(JSON.parse(text)));
      });
      request.on('error', reject);
    });
  }

  stats() {
    return this.ask('/v1/stats');
  }

  async untilRunning(number) {
    await until(
      async () => (await this.stats()).vassals.running >= number,
      `${number} running`,
      300_000,
      20,
    );
  }

  write(name, text) {
    const temporary = join(this.vassals, `.${name}.new`);
    writeFileSync(temporary, text);
    renameSync(temporary, join(this.vassals, `${name}.ini`));
  }

  async close() {
    process.off('SIGINT', this.interrupt);
    if (this.daemon?.exitCode === null && this.daemon.signalCode === null) {
      this.cli('shutdown', '--stop-vassals');
      await until(() => this.daemon.exitCode !== null, 'end', 300_000);
    }
    execFileSync('ip', ['netns', 'del', this.netns]);
    unmountDisk(this.directory, this.disk);
    for (const path of [this.directory, this.run]) rmSync(path, { recursive: true, force: true });
    const cgroup = join(CGROUPS, this.cgroupParent);
    if (existsSync(cgroup)) execFileSync('rmdir', [cgroup]);
  }
}
