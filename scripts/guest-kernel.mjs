// The kernel of the guest that test-v2.mjs boots: Debian's own package, unpacked below build/guest/ and not installed,
// and the initial file system that brings guest-init.sh to it. Node built-ins only.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

// As setup.mjs, which imports this, has it.
const ROOT = resolve(fileURLToPath(import.meta.url), '../..');
const GUEST = join(ROOT, 'build/guest');
const PACKAGE = 'linux-image-amd64';
/** What the guest needs before it sees the machine's own files; the rest is loaded when it is asked for. */
const EARLY_MODULES = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay'];

/** Debian packages that the guest needs, as PACKAGES of setup.mjs has them. */
export const GUEST_PACKAGES = {
  'busybox-static': ['/bin/busybox', '/usr/bin/busybox'],
  cpio: ['/usr/bin/cpio', '/bin/cpio'],
  kmod: ['/sbin/depmod', '/usr/sbin/depmod'],
  'qemu-system-x86': ['/usr/bin/qemu-system-x86_64'],
};

/** Where the unpacked kernel and its modules lie, or null where set-up has not fetched them. */
export function guestKernel() {
  const modules = join(GUEST, 'kernel/lib/modules');
  if (!existsSync(modules)) return null;
  const [release] = readdirSync(modules);
  return { release, modules, image: join(GUEST, 'kernel/boot', `vmlinuz-${release}`) };
}

/** Fetches and unpacks the package that `linux-image-amd64` stands for here; throws what failed. */
export function fetchGuestKernel() {
  const fresh = join(GUEST, 'kernel.new');
  rmSync(GUEST, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const name = kernelPackage();
  run('apt-get', ['-q', 'download', name], { cwd: GUEST });
  const [archive] = readdirSync(GUEST).filter((file) => file.endsWith('.deb'));
  run('dpkg', ['-x', archive, fresh], { cwd: GUEST });
  rmSync(join(GUEST, archive));
  // The package has this done when it is installed.
  run('depmod', ['-b', fresh, name.slice('linux-image-'.length)]);
  renameSync(fresh, join(GUEST, 'kernel'));
}

function kernelPackage() {
  const lines = run('apt-cache', ['depends', '--important', PACKAGE]).split('\n');
  const depends = lines.map((line) => /^ +Depends: (linux-image-\S+)$/.exec(line)?.[1]);
  const name = depends.find((each) => each !== undefined);
  if (name === undefined) throw new Error(`apt-get knows no ${PACKAGE}`);
  return name;
}

/** Writes the guest's initial file system into `directory`, and returns its path. */
export function makeInitialFiles({ release, modules }, directory) {
  const tree = join(directory, 'initial');
  for (const part of ['bin', 'dev', 'modules']) mkdirSync(join(tree, part), { recursive: true });
  copyFileSync(join(ROOT, 'scripts/guest-init.sh'), join(tree, 'init'));
  chmodSync(join(tree, 'init'), 0o755);
  const busybox = GUEST_PACKAGES['busybox-static'].find(existsSync);
  copyFileSync(busybox, join(tree, 'bin/busybox'));
  for (const applet of ['sh', 'mount', 'mkdir', 'ln', 'insmod', 'switch_root']) {
    symlinkSync('busybox', join(tree, 'bin', applet));
  }
  const kernel = resolve(modules, '../..');
  for (const [index, file] of inOrder(kernel, release).entries()) {
    const name = `${String(index).padStart(2, '0')}-${basename(file)}`;
    copyFileSync(file, join(tree, 'modules', name));
  }
  const archive = join(directory, 'initial.cpio');
  const files = readdirSync(tree, { recursive: true }).sort();
  const input = ['.', ...files].join('\n');
  const packed = run('cpio', ['--quiet', '-o', '-H', 'newc'], { cwd: tree, input, encoding: null });
  writeFileSync(archive, packed);
  return archive;
}

/** Files of the modules, each after those that it needs. */
function inOrder(kernel, release) {
  const files = EARLY_MODULES.flatMap((module) => {
    const args = ['-d', kernel, '-S', release, '--show-depends', module];
    const lines = run('modprobe', args).split('\n');
    return lines.flatMap((line) => /^insmod (\S+\.ko)/.exec(line)?.[1] ?? []);
  });
  return [...new Set(files)];
}

function run(command, args, options = {}) {
  const { error, status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    ...options,
  });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args[0]}: ${error?.message ?? String(stderr).trim()}`);
}
