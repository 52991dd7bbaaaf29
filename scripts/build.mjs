// npm run build: TypeScript to dist/, the command line in one piece to build/program/, the C program and its system call
// filter to build/native/.
// Node built-ins only. Does what is stale by the content of its inputs, and nothing when all is current.
//
// node scripts/build.mjs [--sanitize]    --sanitize: also build/native/emperor-init-asan, for the tests
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const SELF = fileURLToPath(import.meta.url);
const ROOT = resolve(SELF, '../..');
const SOURCES = join(ROOT, 'src');
const NATIVE = join(ROOT, 'src/jail/native');
const DIST = join(ROOT, 'dist');
const BUILD = join(ROOT, 'build');
const OUTPUT = join(BUILD, 'native');
const PROGRAM = join(BUILD, 'program');
const STAMPS = join(BUILD, 'stamps');
const PROFILE = join(NATIVE, 'seccomp.profile');
const PROFILE_COMPILER = join(NATIVE, 'seccomp-profile.c');

const WARNINGS = ['-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror'];
const SMALL = [
  '-static',
  '-Os',
  '-ffunction-sections',
  '-fdata-sections',
  '-Wl,--gc-sections',
  '-s',
];
const SANITIZED = [
  '-O1',
  '-g',
  '-fno-omit-frame-pointer',
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=all',
];

/** A failure that is told in one sentence; the compiler has said the rest. */
export class BuildError extends Error {}

const STEPS = [
  {
    name: 'typescript',
    inputs: typeScriptInputs,
    outputs: [join(DIST, 'cli/main.js')],
    run: compileTypeScript,
  },
  {
    name: 'program',
    inputs: typeScriptInputs,
    outputs: [join(PROGRAM, 'main.cjs')],
    run: bundleProgram,
  },
  {
    name: 'init',
    inputs: nativeInputs,
    outputs: [join(OUTPUT, 'emperor-init')],
    run: () => compileInit('musl-gcc', [...SMALL, ...kernelHeaders()], 'emperor-init'),
  },
  {
    name: 'seccomp',
    inputs: () => [PROFILE, PROFILE_COMPILER],
    outputs: [join(OUTPUT, 'seccomp.bpf')],
    run: exportFilter,
  },
  {
    name: 'sanitized-init',
    isWanted: ({ sanitize }) => sanitize,
    inputs: nativeInputs,
    outputs: [join(OUTPUT, 'emperor-init-asan')],
    run: () => compileInit('gcc', SANITIZED, 'emperor-init-asan'),
  },
];

/** Builds what is stale; throws BuildError. */
export function build(options = { sanitize: false }) {
  const wanted = STEPS.filter(({ isWanted = () => true }) => isWanted(options));
  if (wanted.every(isCurrent)) return;
  if (process.env.EMPEROR_BUILD_LOCKED !== '1') {
    buildAlone(options);
    return;
  }
  const stale = wanted.filter((step) => !isCurrent(step));
  const failures = stale.flatMap(runStep);
  if (failures.length > 0) throw new BuildError(failures.join('\n'));
}

/** Runs the step and stamps it; returns what went wrong, so that one failure does not hide another. */
function runStep(step) {
  console.log(`build: ${step.name}`);
  const digest = digestOf(step);
  try {
    step.run();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return [error.message];
  }
  mkdirSync(STAMPS, { recursive: true });
  writeFileSync(join(STAMPS, step.name), digest);
  return [];
}

/** Two builds of one checkout at the same time wait for each other. */
function buildAlone({ sanitize }) {
  mkdirSync(BUILD, { recursive: true });
  const again = [process.execPath, SELF, ...(sanitize ? ['--sanitize'] : [])];
  const { status } = spawnSync('flock', [join(BUILD, 'lock'), ...again], {
    stdio: 'inherit',
    env: { ...process.env, EMPEROR_BUILD_LOCKED: '1' },
  });
  if (status !== 0) throw new BuildError('Cannot build: see above');
}

function isCurrent(step) {
  const stamp = join(STAMPS, step.name);
  if (!step.outputs.every(existsSync) || !existsSync(stamp)) return false;
  return readFileSync(stamp, 'utf8') === digestOf(step);
}

function digestOf(step) {
  const hash = createHash('sha256');
  for (const file of [SELF, ...step.inputs()]) {
    hash
      .update(`${relative(ROOT, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  }
  return hash.digest('hex');
}

function filesBelow(directory, pattern) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function typeScriptInputs() {
  const settings = ['tsconfig.json', 'package-lock.json'].map((name) => join(ROOT, name));
  return [...filesBelow(SOURCES, /\.ts$/), ...settings];
}

function nativeInputs() {
  return [
    ...filesBelow(NATIVE, /\.[ch]$/).filter((file) => file !== PROFILE_COMPILER),
    join(ROOT, 'src/jail/wire.ts'),
    join(ROOT, 'src/jail/generate-header.ts'),
  ];
}

/** The compiler writes beside dist/; what differs is renamed into place, so a running emperor never reads half a file. */
function compileTypeScript() {
  const fresh = join(ROOT, 'dist.new');
  rmSync(fresh, { recursive: true, force: true });
  const isClean = run(join(ROOT, 'node_modules/.bin/tsc'), [
    '-p',
    join(ROOT, 'tsconfig.json'),
    '--outDir',
    fresh,
  ]);
  if (!existsSync(fresh))
    throw new BuildError('Cannot build: the TypeScript compiler made nothing');
  replaceTree(fresh, DIST);
  rmSync(fresh, { recursive: true });
  if (!isClean) throw new BuildError('Cannot build: the TypeScript compiler found errors');
}

/**
 * Puts the command line and the libraries that it imports into a few files: reading and linking hundreds of modules is
 * most of what a command costs. CommonJS, since Node's loader of ES modules costs as much as all the rest of a command.
 * What is found at run time by require() stays where it is.
 */
function bundleProgram() {
  const fresh = join(BUILD, 'program.new');
  rmSync(fresh, { recursive: true, force: true });
  const names = ['--entryFileNames', '[name].cjs', '--chunkFileNames', '[name]-[hash].cjs'];
  const output = ['--dir', fresh, '--platform', 'node', '--format', 'cjs', ...names];
  const bundler = join(ROOT, 'node_modules/.bin/rolldown');
  const { status, stdout, stderr } = spawnSync(bundler, [join(DIST, 'cli/main.js'), ...output], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  if (status !== 0) throw new BuildError(`Cannot build: the bundler failed\n${stdout}${stderr}`);
  replaceTree(fresh, PROGRAM);
  rmSync(fresh, { recursive: true });
}

function replaceTree(fresh, target) {
  const names = filesBelow(fresh, /./).map((file) => relative(fresh, file));
  for (const name of names) {
    const to = join(target, name);
    if (existsSync(to) && readFileSync(to).equals(readFileSync(join(fresh, name)))) continue;
    mkdirSync(dirname(to), { recursive: true });
    renameSync(join(fresh, name), to);
  }
  if (!existsSync(target)) return;
  const kept = new Set(names);
  for (const file of filesBelow(target, /./)) {
    if (!kept.has(relative(target, file))) rmSync(file);
  }
}

function compileInit(compiler, flags, name) {
  const sources = filesBelow(NATIVE, /\.c$/).filter((file) => file !== PROFILE_COMPILER);
  if (sources.length === 0) throw new BuildError(`Cannot build ${name}: src/jail/native is empty`);
  writeHeader();
  const temporary = join(OUTPUT, `.${name}.new`);
  const args = [...flags, ...WARNINGS, '-I', OUTPUT, '-o', temporary, ...sources];
  if (!run(compiler, args)) throw new BuildError(`Cannot build ${name}: ${compiler} found errors`);
  renameSync(temporary, join(OUTPUT, name));
}

/** wire.h: the words that C and TypeScript share, out of the one table in src/jail/wire.ts. */
function writeHeader() {
  const generator = join(DIST, 'jail/generate-header.js');
  const { status, stdout } = spawnSync(process.execPath, [generator], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new BuildError('Cannot build wire.h: src/jail/generate-header.ts failed');
  mkdirSync(OUTPUT, { recursive: true });
  writeFileSync(join(OUTPUT, '.wire.h.new'), stdout);
  renameSync(join(OUTPUT, '.wire.h.new'), join(OUTPUT, 'wire.h'));
}

/** Options of musl-gcc: musl brings no kernel headers, so the machine's own come after everything of musl. */
export function kernelHeaders() {
  const { stdout } = spawnSync('gcc', ['-print-multiarch'], { encoding: 'utf8' });
  const multiarch = (stdout ?? '').trim();
  const paths = ['/usr/include', ...(multiarch === '' ? [] : [`/usr/include/${multiarch}`])];
  return paths.flatMap((path) => ['-idirafter', path]);
}

/** libseccomp compiles the filter here, so that init need not carry it (docs/decisions/0002). */
function exportFilter() {
  mkdirSync(OUTPUT, { recursive: true });
  const program = join(OUTPUT, 'seccomp-profile');
  const filter = join(OUTPUT, 'seccomp.bpf');
  if (!run('gcc', ['-O1', ...WARNINGS, '-o', program, PROFILE_COMPILER, '-lseccomp'])) {
    throw new BuildError('Cannot build seccomp.bpf: gcc found errors');
  }
  if (!run(program, [PROFILE, `${filter}.new`])) throw new BuildError('Cannot build seccomp.bpf');
  renameSync(`${filter}.new`, filter);
}

function run(command, args) {
  const { error, status } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (error)
    throw new BuildError(`Cannot build: ${command}: ${error.message}; run \`npm run setup\``);
  return status === 0;
}

if (process.argv[1] && resolve(process.argv[1]) === SELF) {
  try {
    build({ sanitize: process.argv.includes('--sanitize') });
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
