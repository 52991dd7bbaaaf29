/**
 * A machine with accounts and an sshd of the test's own, and an emperor: a mount namespace (ssh-machine.sh) in which
 * accounts can be made and /etc be written to. This machine's own stay as they are.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Answer, BINARY, BOOKWORM, type EmperorOptions, TestEmperor } from './emperor.ts';
import { copyPrograms, VIM } from './host-programs.ts';
import { patienceMs } from './slowness.ts';
import { until } from './wait.ts';

const PORT = '2222';
/** Programs of this machine that the vassals see in /opt/bin, with their libraries in /opt/lib. */
const LENT = ['/usr/lib/openssh/sftp-server', '/usr/bin/rsync', '/usr/bin/scp', VIM];
export const LENT_ENV = `env = PATH=/opt/bin:/usr/local/bin:/usr/bin:/bin
env = LD_LIBRARY_PATH=/opt/lib
`;

const PREPARE = join(import.meta.dirname, 'ssh-machine.sh');

export class SshMachine {
  readonly emperor: TestEmperor;
  readonly #holder: ChildProcess;
  readonly #place: string;
  #sshd: ChildProcess | null = null;
  #log = '';

  static async make(options: EmperorOptions = {}): Promise<SshMachine> {
    const place = execFileSync('mktemp', ['-d', '/tmp/emperor-ssh-XXXXXX'], { encoding: 'utf8' });
    const holder = spawn('unshare', ['-m', 'sh', PREPARE, place.trim()], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await new Promise((made, fail) => {
      holder.stdout.once('data', made);
      holder.once('exit', () => fail(new Error('the machine cannot be made')));
    });
    return new SshMachine(holder, place.trim(), options);
  }

  private constructor(holder: ChildProcess, place: string, options: EmperorOptions) {
    this.#holder = holder;
    this.#place = place;
    const through = ['nsenter', `--mount=${this.#namespace}`, '--'];
    this.emperor = new TestEmperor({}, { through });
    const opt = join(this.emperor.directory, 'opt');
    copyPrograms(opt, { programs: LENT, distro: join(BOOKWORM, 'bookworm') });
    this.emperor.writeIni({ ...options, ini: `opt = ${opt}\n${options.ini ?? ''}` });
    // Customers' own keys and doors are below it.
    chmodSync(this.emperor.directory, 0o711);
  }

  get #namespace(): string {
    return `/proc/${this.#holder.pid}/ns/mnt`;
  }

  /** What runs a program there, as root. */
  line(command: readonly string[]): readonly [string, ...string[]] {
    const net = `--net=/run/netns/${this.emperor.netns}`;
    return ['nsenter', `--mount=${this.#namespace}`, net, '--', ...command];
  }

  /** Runs a program there as root. */
  run(command: readonly string[], options: { readonly input?: string | Buffer } = {}): Answer {
    const [file, ...args] = this.line(command);
    const { status, stdout, stderr } = spawnSync(file, args, {
      input: options.input ?? '',
      encoding: 'utf8',
      timeout: patienceMs(30_000),
      maxBuffer: 1 << 28,
      env: { ...process.env, NO_COLOR: '1' },
    });
    return { status, stdout, stderr };
  }

  /** Starts one; its streams are pipes. */
  spawn(command: readonly string[]): ChildProcess {
    const [file, ...args] = this.line(command);
    return spawn(file, args, { stdio: 'pipe', env: { ...process.env, TERM: 'xterm' } });
  }

  /** `emperor ssh setup …` with a new key, which becomes that of `account`. */
  setUp(vassal: string, account: string, ...more: readonly string[]): Answer {
    const key = this.keyOf(account);
    for (const path of [key, `${key}.pub`]) rmSync(path, { force: true });
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const args = ['ssh', 'setup', vassal, '--key', `${key}.pub`, '--user', account, ...more];
    return this.run([BINARY, '--ini', this.emperor.ini, ...args]);
  }

  keyOf(account: string): string {
    return join(this.emperor.directory, `key-${account}`);
  }

  async startSshd(): Promise<void> {
    const settings = ['-o', 'UsePAM=no', '-o', 'PermitRootLogin=prohibit-password'];
    const where = ['-o', 'ListenAddress=127.0.0.1', '-p', PORT];
    const sshd = this.spawn(['/usr/sbin/sshd', '-D', '-e', ...settings, ...where]);
    this.#sshd = sshd;
    sshd.stderr?.on('data', (chunk: Buffer) => {
      this.#log += chunk.toString();
    });
    await until('sshd listens', () => this.#log.includes('Server listening'));
  }

  /** What sshd said so far. */
  get log(): string {
    return this.#log;
  }

  /** Has sshd read its configuration again. */
  async reload(): Promise<void> {
    this.#log = '';
    this.#sshd?.kill('SIGHUP');
    await until('sshd listens again', () => this.#log.includes('Server listening'));
  }

  /** Options of ssh, scp and sftp for an account. */
  options(account: string): readonly string[] {
    const settings = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null'];
    const more = ['LogLevel=ERROR', 'ExitOnForwardFailure=yes', 'ConnectTimeout=10'];
    return [
      ...['-F', 'none', '-i', this.keyOf(account)],
      ...[...settings, ...more].flatMap((setting) => ['-o', setting]),
    ];
  }

  /** The line of `ssh MORE… ACCOUNT@… COMMAND…`. */
  sshLine(account: string, command: readonly string[], more: readonly string[] = []) {
    const to = ['-p', PORT, `${account}@127.0.0.1`, ...command];
    return ['ssh', ...this.options(account), ...more, ...to];
  }

  ssh(account: string, command: readonly string[], input: string | Buffer = ''): Answer {
    return this.run(this.sshLine(account, command), { input });
  }

  async close(): Promise<void> {
    if (this.#sshd && this.#sshd.exitCode === null) {
      const ended = new Promise((done) => this.#sshd?.once('exit', done));
      this.#sshd.kill('SIGTERM');
      await ended;
    }
    await this.emperor.close();
    const ended = new Promise((done) => this.#holder.once('exit', done));
    this.#holder.stdin?.end();
    await ended;
    execFileSync('rmdir', [this.#place]);
  }
}
