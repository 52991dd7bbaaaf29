/** Network namespaces of a test's own, wired by veth pairs; nothing of the machine's own network is touched. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Run, runTool } from '../../src/base/run-tool.ts';

let made = 0;

export class NetworkNamespace {
  readonly name: string;
  readonly #children = new Set<ChildProcess>();

  /** `purpose` tells namespaces apart for who looks at `ip netns`. */
  constructor(purpose: string) {
    made += 1;
    this.name = `emperor-${process.pid}-${made}-${purpose}`;
    execFileSync('ip', ['netns', 'add', this.name]);
    this.ip('link set lo up');
  }

  /** Runs the host's tools inside, as the emperor does in its own namespace. */
  readonly run: Run = (command, input) =>
    runTool(['ip', 'netns', 'exec', this.name, ...command], input);

  /** `ip` with these words, inside. */
  ip(words: string): string {
    return execFileSync('ip', ['-n', this.name, ...words.split(' ')], { encoding: 'utf8' });
  }

  /** Runs a script of the shell inside, at once. */
  shell(script: string): string {
    return execFileSync('ip', ['netns', 'exec', this.name, 'sh', '-c', script], {
      encoding: 'utf8',
    });
  }

  /** Starts a Python program inside, which ends with the namespace at the latest. */
  start(program: string, args: readonly string[] = []): ChildProcess {
    const child = spawn(
      'ip',
      ['netns', 'exec', this.name, 'python3', '-u', '-c', program, ...args],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return child;
  }

  /** Runs a Python program inside; resolves to what it wrote. */
  async python(program: string, args: readonly string[] = []): Promise<string> {
    const child = this.start(program, args);
    let text = '';
    child.stdout?.on('data', (chunk) => {
      text += chunk;
    });
    await once(child, 'close');
    return text.trim();
  }

  async close(): Promise<void> {
    const ended = [...this.#children].map(async (child) => {
      if (child.kill('SIGKILL')) await once(child, 'close');
    });
    await Promise.all(ended);
    execFileSync('ip', ['netns', 'delete', this.name]);
  }
}

/** Joins two namespaces by a pair of devices, named as the key of each says; both are up. */
export function join(
  [left, leftDevice]: readonly [NetworkNamespace, string],
  [right, rightDevice]: readonly [NetworkNamespace, string],
): void {
  left.ip(`link add ${leftDevice} type veth peer name ${rightDevice} netns ${right.name}`);
  left.ip(`link set ${leftDevice} up`);
  right.ip(`link set ${rightDevice} up`);
}
