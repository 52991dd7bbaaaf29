/**
 * Builds a root file system by mmdebstrap (or debootstrap) beside its place and renames it there when it
 * is complete: a directory that has the name is always whole.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { EmperorError, isErrno } from '../base/errors.ts';
import { Scope } from '../base/scope.ts';
import { flock } from '../linux/flock.ts';
import { proxyEnvironment, readAcquireOptions, readAptSources } from './apt-config.ts';
import { type AptSource, formatSource, keyringOf, sourcesOfSuite } from './apt-sources.ts';
import { type DistroReport, judgeRoot, MOUNT_POINTS } from './inspect.ts';
import { distroPath } from './names.ts';

/** What is in a distro besides Debian's minimum, unless the operator says otherwise. */
export const DEFAULT_PACKAGES = [
  'ca-certificates',
  'curl',
  'iproute2',
  'iputils-ping',
  'openssh-sftp-server',
  'procps',
  'python3',
];

const DEFAULT_SUITE = 'bookworm';
const TOOLS = { mmdebstrap: '/usr/bin/mmdebstrap', debootstrap: '/usr/sbin/debootstrap' } as const;
export type DistroTool = keyof typeof TOOLS;

/** debootstrap knows a script for each suite it can make; mmdebstrap ships with none, so this is the list. */
const SCRIPTS = '/usr/share/debootstrap/scripts';

export interface DistroRequest {
  /** The distros directory of emperor.ini. */
  readonly directory: string;
  readonly name: string;
  /** Debian's code name; default: `name` if it is one, else bookworm. */
  readonly suite?: string;
  readonly packages?: readonly string[];
  readonly tool?: DistroTool;
  readonly onProgress?: (line: string) => void;
}

/** Throws `bad-usage`, `conflict` (it is there, or is being built), `not-supported` (no tool), `bad-distro`. */
export async function addDistro(request: DistroRequest): Promise<DistroReport> {
  const target = distroPath(request.directory, request.name);
  mkdirSync(request.directory, { recursive: true });
  const scope = new Scope();
  try {
    lockBuild(request, scope);
    if (isThere(target)) {
      throw new EmperorError(
        'conflict',
        `Cannot add distro ${request.name}: ${target} is there; remove it with \`emperor distro rm ${request.name}\``,
      );
    }
    return await buildBeside(request, target);
  } finally {
    await scope.close();
  }
}

function lockBuild({ directory, name }: DistroRequest, scope: Scope): void {
  const file = join(directory, `.${name}.lock`);
  const lock = scope.add(openSync(file, 'a', 0o600), closeSync);
  if (!flock(lock, 'exclusive')) {
    throw new EmperorError('conflict', `Cannot add distro ${name}: it is being built already`);
  }
  scope.add(file, (path) => rmSync(path, { force: true }));
}

async function buildBeside(request: DistroRequest, target: string): Promise<DistroReport> {
  const fresh = join(request.directory, `.${request.name}.new`);
  const umask = process.umask(0o022);
  try {
    await removeTree(fresh);
    await runTool(request, fresh);
    completeTree(fresh);
    const report = judgeRoot(fresh);
    const problem = report.problems.find(({ severity }) => severity === 'error');
    if (problem) {
      throw new EmperorError('bad-distro', `Cannot add distro ${request.name}: ${problem.message}`);
    }
    renameSync(fresh, target);
    return judgeRoot(target);
  } finally {
    await removeTree(fresh);
    process.umask(umask);
  }
}

async function runTool(request: DistroRequest, fresh: string): Promise<void> {
  const tool = chooseTool(request);
  const suite = suiteOf(request);
  const options = await readAcquireOptions();
  const sources = sourcesOfSuite(suite, readAptSources());
  const packages = request.packages ?? DEFAULT_PACKAGES;
  const args =
    tool === 'mmdebstrap'
      ? mmdebstrapArguments({ suite, fresh, sources, packages, options })
      : debootstrapArguments({ suite, fresh, sources, packages });
  const { tail, failed } = await follow(TOOLS[tool], args, {
    env: proxyEnvironment(options),
    onProgress: request.onProgress ?? (() => {}),
  });
  if (failed) {
    throw new EmperorError(
      'bad-distro',
      `Cannot add distro ${request.name}: ${tool} failed: ${tail}`,
    );
  }
}

function chooseTool({ tool, name }: DistroRequest): DistroTool {
  const found = (tool ? [tool] : (['mmdebstrap', 'debootstrap'] as const)).find((each) =>
    existsSync(TOOLS[each]),
  );
  if (found) return found;
  throw new EmperorError(
    'not-supported',
    `Cannot add distro ${name}: there is no ${tool ?? 'mmdebstrap'}; \`apt-get install ${tool ?? 'mmdebstrap'}\``,
  );
}

function suiteOf({ suite, name }: DistroRequest): string {
  return suite ?? (existsSync(join(SCRIPTS, name)) ? name : DEFAULT_SUITE);
}

interface Build {
  readonly suite: string;
  readonly fresh: string;
  readonly sources: readonly AptSource[];
  readonly packages: readonly string[];
}

/** mmdebstrap(1); without sources it knows Debian's own archive. Pure. */
export function mmdebstrapArguments(
  build: Build & { readonly options: readonly string[] },
): string[] {
  return [
    '--variant=minbase',
    `--include=${build.packages.join(',')}`,
    ...build.options.map((option) => `--aptopt=${option}`),
    '--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"',
    '--',
    build.suite,
    build.fresh,
    ...build.sources.map(formatSource),
  ];
}

/** debootstrap(8): one mirror, one keyring. Pure. */
export function debootstrapArguments(build: Build): string[] {
  const source = build.sources.find(({ suite }) => suite === build.suite);
  const keyring = source ? keyringOf(source) : null;
  return [
    '--variant=minbase',
    `--include=${build.packages.join(',')}`,
    ...(keyring ? [`--keyring=${keyring}`] : []),
    build.suite,
    build.fresh,
    ...(source ? [source.uri] : []),
  ];
}

const TAIL_LINES = 3;

/** Runs a command, hands its lines on, and keeps the last ones for the sentence of a failure. */
async function follow(
  command: string,
  args: readonly string[],
  options: {
    readonly env: Readonly<Record<string, string>>;
    readonly onProgress: (line: string) => void;
  },
): Promise<{ readonly tail: string; readonly failed: boolean }> {
  const tail: string[] = [];
  const child = execa(command, args, {
    env: { ...options.env, LC_ALL: 'C.UTF-8' },
    stdin: 'ignore',
    all: true,
    buffer: false,
    reject: false,
  });
  for await (const line of child.iterable({ from: 'all' })) {
    options.onProgress(line);
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
  }
  const { failed } = await child;
  return { tail: tail.join(' / '), failed };
}

/**
 * Adds what the tools leave out and empties what they copied from the host: files that a vassal's own
 * will cover must be there, regular and nobody's.
 */
function completeTree(root: string): void {
  chmodSync(root, 0o755);
  for (const [path, mode] of MOUNT_POINTS) {
    if (isThere(join(root, path))) continue;
    mkdirSync(join(root, path), { recursive: true });
    chmodSync(join(root, path), mode);
  }
  const write = (name: string, text: string) => {
    const path = join(root, 'etc', name);
    rmSync(path, { force: true });
    writeFileSync(path, text, { mode: 0o644 });
  };
  write('hosts', '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n');
  write('hostname', '');
  write('resolv.conf', '');
}

/** Removes a tree without leaving its file system: what is mounted in it stays. */
export async function removeTree(path: string): Promise<void> {
  if (isThere(path)) await execa('rm', ['-rf', '--one-file-system', '--', path]);
}

function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}
