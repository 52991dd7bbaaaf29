// The peers that no emperor can beat: programs/bare.c, which does for a vassal what the kernel must and nothing
// else, and programs/bystander.mjs, a Node process that is idle meanwhile.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildPrograms, CGROUPS, mountFreshDisk, ROOT, unmountDisk } from './world.mjs';

/** Starts so many vassals by the bare program, one group after another, and returns the vassals/s of each group. */
export async function bareRates(...groups) {
  const directory = mkdtempSync('/var/tmp/emperor-bench-bare-');
  const disk = mountFreshDisk(directory);
  const cgroup = join(CGROUPS, `emperor-bench-bare-${process.pid}`);
  const [opt, homes] = ['opt', 'homes'].map((name) => join(directory, name));
  mkdirSync(homes);
  mkdirSync(cgroup);
  buildPrograms(opt);
  try {
    const filter = join(ROOT, 'build/native/seccomp.bpf');
    const args = [join(ROOT, 'distros/bookworm'), opt, homes, cgroup, filter];
    const program = spawn(join(opt, 'bare'), args);
    program.stdin.end(groups.map((group) => `${group}\n`).join(''));
    const seconds = (await outputOf(program)).trim().split('\n').map(Number);
    return groups.map((group, index) => group / seconds[index]);
  } finally {
    unmountDisk(directory, disk);
    rmSync(directory, { recursive: true });
    rmdirSync(cgroup);
  }
}

/** Returns what a program has printed when it ends; throws what it complained about. */
async function outputOf(program) {
  let output = '';
  let complaint = '';
  program.stdout.on('data', (chunk) => {
    output += chunk;
  });
  program.stderr.on('data', (chunk) => {
    complaint += chunk;
  });
  const status = await new Promise((resolve) => program.once('close', resolve));
  if (status !== 0) throw new Error(`${program.spawnfile}: status ${status}: ${complaint}`);
  return output;
}

/** Starts an idle Node process; what it returns ends it and tells the delay of its event loop, in ms. */
export function startBystander() {
  const script = join(ROOT, 'bench/programs/bystander.mjs');
  const program = spawn(process.execPath, [script]);
  const output = outputOf(program);
  return async () => {
    program.stdin.end();
    return JSON.parse(await output);
  };
}
