// The peer: Debian's own uwsgi-emperor, over a directory of its own, with the namespaces it offers.
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
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPrograms, sleep, until } from './world.mjs';

export const isInstalled = () => existsSync('/usr/bin/uwsgi-core') || existsSync('/usr/bin/uwsgi');

let count = 0;

export class UwsgiWorld {
  constructor() {
    count += 1;
    this.directory = mkdtempSync(join(tmpdir(), 'uwsgi-bench-'));
    this.vassals = join(this.directory, 'vassals');
    this.opt = join(this.directory, 'opt');
    this.netns = `uwsgi-bench-${process.pid}-${count}`;
    mkdirSync(this.vassals);
    buildPrograms(this.opt);
    execFileSync('ip', ['netns', 'add', this.netns]);
  }

  /** A vassal that runs `program`, in the five namespaces of the seed. */
  text(name, program) {
    return `[uwsgi]
socket = ${join(this.directory, `${name}.sock`)}
processes = 1
exec-pre-app = STAMP=${join(this.directory, `${name}.stamp`)} ${join(this.opt, program)} &
`;
  }

  write(name, program) {
    const temporary = join(this.vassals, `.${name}.new`);
    writeFileSync(temporary, this.text(name, program));
    renameSync(temporary, join(this.vassals, `${name}.ini`));
  }

  async start() {
    this.output = '';
    this.process = spawn(
      'ip',
      [
        'netns',
        'exec',
        this.netns,
        'uwsgi',
        '--emperor',
        this.vassals,
        '--emperor-use-clone',
        'fs,ipc,uts,net,pid',
        '--die-on-term',
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on('data', (chunk) => {
        this.output = (this.output + chunk).slice(-100_000);
      });
    }
    await until(() => /curse|ready to manage|Emperor/i.test(this.output), 'uwsgi starts');
  }

  stampOf(name) {
    const file = join(this.directory, `${name}.stamp`);
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  }

  async close() {
    if (this.process && this.process.exitCode === null) {
      const ended = new Promise((done) => this.process.once('exit', done));
      this.process.kill('SIGKILL');
      await ended;
      await sleep(500);
    }
    execFileSync('ip', ['netns', 'del', this.netns]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
