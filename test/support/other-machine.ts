/**
 * This machine as it could also be: a root of its own over ours, whose changes are kept in memory, with neither
 * network nor processes of ours. What is installed, removed or started there is nobody else's.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './newcomer.ts';
import { patienceMs } from './slowness.ts';
import { until } from './wait.ts';

/** $1 is where the layers are, $2 the checkout, which may be a mount; what is mounted goes with the namespace. */
const PREPARE = `
mount -t tmpfs layers "$1"
cover() {
  mkdir "$1/$3" "$1/$3.work"
  mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/$3,workdir=$1/$3.work" "$1/root$2"
}
mkdir "$1/root"
cover "$1" / system
cover "$1" "$2" checkout
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs run "$1/root/run"
cd "$1/root"
pivot_root . mnt
umount --lazy /mnt
echo ready
exec sleep infinity`;
const NAMESPACES = ['--mount', '--net', '--pid'];

export class OtherMachine {
  readonly #directory = mkdtempSync(join(tmpdir(), 'other-machine-'));
  #unshare: ChildProcess | null = null;
  /** Of what keeps its namespaces. */
  #pid = 0;

  async start(): Promise<void> {
    const words = [...NAMESPACES, '--fork', '--kill-child', '--propagation', 'private'];
    const unshare = spawn(
      'unshare',
      [...words, 'sh', '-euc', PREPARE, 'sh', this.#directory, ROOT],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    this.#unshare = unshare;
    let said = '';
    unshare.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until('its root is there', () => {
      if (unshare.exitCode !== null) throw new Error(`unshare ended with ${unshare.exitCode}`);
      return said.includes('ready');
    });
    this.#pid = Number(readFileSync(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8'));
  }

  /** Runs a command there; stdout and stderr come as one text, as on a terminal. */
  run(
    command: readonly string[],
    { cwd = '/', env = {} }: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
  ) {
    const script = 'cd "$0" && exec "$@" 2>&1';
    const words = [`--target=${this.#pid}`, ...NAMESPACES, 'sh', '-c', script, cwd, ...command];
    const { status, stdout } = spawnSync('nsenter', words, {
      encoding: 'utf8',
      timeout: patienceMs(90_000),
      env: { ...process.env, ...env },
    });
    return { status, output: stdout };
  }

  /** Runs a script there that has to succeed, with words behind it as $1 and so on; what it prints. */
  shell(script: string, ...words: readonly string[]): string {
    const { status, output } = this.run(['sh', '-euc', script, 'sh', ...words]);
    if (status === 0) return output;
    throw new Error(`status ${status}: ${output}`);
  }

  async close(): Promise<void> {
    const unshare = this.#unshare;
    unshare?.kill('SIGKILL');
    await until('it has ended', () => unshare?.signalCode !== null);
    await until('nothing is mounted', () => {
      try {
        rmdirSync(this.#directory);
        return true;
      } catch {
        // Its namespaces are still going.
        return false;
      }
    });
  }
}
