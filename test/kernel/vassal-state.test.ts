/**
 * A vassal as the kernel has it, compared with test/fixtures/vassal-state.golden: every mount with its flags, and what its
 * init and a process of its are allowed. `npx vitest run --project kernel test/kernel/vassal-state.test.ts -u` writes it
 * anew: what changed in it is what to review.
 */
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { FIXTURES } from '../support/compile.ts';
import { launch } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

let w: World;
const { freshName, own } = useJails('s', (given) => {
  w = given;
});

/** Of the file systems that the host has; what is bound is of whichever it has, a tmpfs too. */
const OF_HOST = new Set(linesOf('/proc/self/mountinfo').map(deviceOf));
/** Of a file system's own options, those that the plan gives. */
const OPTIONS = /^(size|nr_inodes|mode|max|ptmxmode|hidepid)=/;

function linesOf(path: string): readonly string[] {
  return readFileSync(path, 'utf8').trim().split('\n');
}

/** MAJOR:MINOR, in a line of mountinfo. */
function deviceOf(line: string): string {
  return line.split(' ')[2] ?? '';
}

/** One line for each mount; for those in /proc, which differ from kernel to kernel, for each kind. */
function mountsOf(pid: number): readonly string[] {
  const mounts = linesOf(`/proc/${pid}/mountinfo`).map((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , , path = '', flags = '', ...tags] = before.split(' ');
    const [type = '', , options = ''] = after.split(' ');
    const kind = OF_HOST.has(deviceOf(line)) ? 'bind' : type;
    const given = kind === 'bind' ? [] : options.split(',').filter((one) => OPTIONS.test(one));
    const place = path.startsWith('/proc/') ? '/proc/*' : path;
    const lasting = flags.replace(/,(no|rel|strict)atime/, '');
    return ['mount', place, kind, lasting, ...given, ...tags].join(' ');
  });
  return [...new Set(mounts)].sort();
}

const KEYS = /^(Groups|NoNewPrivs|Seccomp|Cap\w+|SigBlk|SigIgn|Umask):\t *(.*)$/;

function statusOf(what: string, pid: number): readonly string[] {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [, key, value] = KEYS.exec(line) ?? [];
    return key === undefined ? [] : [`${what} ${key} ${value}`.trimEnd()];
  });
}

/** Of everything at and below `top`. */
function modesOf(root: string, top: string): readonly string[] {
  // Without them, links would be followed.
  const found = readdirSync(join(root, top), { recursive: true, withFileTypes: true });
  const paths = found.map(({ parentPath, name }) => relative(root, join(parentPath, name)));
  return [top, ...paths].sort().map((path) => {
    const { mode, uid } = lstatSync(join(root, path));
    return `mode ${path} ${(mode & 0o7777).toString(8)} ${uid === 0 ? 'root' : 'other'}`;
  });
}

test('a vassal is what the committed list says', async () => {
  const name = freshName();
  const view = join(w.directory, 'view');
  const opt = join(w.directory, 'opt');
  for (const directory of [view, opt, join(w.tinyDistro(), 'srv/open')]) mkdirSync(directory);
  const plan = w.plan(name, {
    opt,
    binds: [{ source: opt, target: '/srv/open', readOnly: false }],
    cgroups: {
      ...w.membership.create(name),
      joins: [],
      views: [{ source: view, target: '/sys/fs/cgroup' }],
    },
  });
  const jail = own(await launch(w, plan));
  await jail.start(['/bin/forever']);
  await until('it runs', () => w.logOf(name).includes('running'));
  const [pid = 0] = w.membership.payloadPids(name);
  const root = `/proc/${jail.pid}/root`;
  const found = [
    ...mountsOf(jail.pid),
    ...statusOf('init', jail.pid),
    `init dumpable ${statSync(`/proc/${jail.pid}/environ`).uid === 0 ? 'no' : 'yes'}`,
    ...statusOf('process', pid),
    ...modesOf(root, 'run'),
    ...modesOf(root, 'home'),
    ...modesOf(root, 'dev'),
  ];
  const text = `${found.join('\n').replaceAll(name, 'NAME')}\n`;
  await expect(text).toMatchFileSnapshot(join(FIXTURES, 'vassal-state.golden'));
});
