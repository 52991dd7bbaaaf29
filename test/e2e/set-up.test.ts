/** What `npm start` and `npm test` do first, on machines that lack something. Ours lacks nothing, and stays as it is. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ROOT } from '../support/newcomer.ts';
import { OtherMachine } from '../support/other-machine.ts';

const SCRIPT = join(ROOT, 'scripts/setup.mjs');

test('set-up says nothing and runs no other program where nothing is missing', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, '--test'], {
    encoding: 'utf8',
    env: { PATH: '/nowhere' },
    timeout: 5000,
  });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
});

describe('set-up on another machine', () => {
  let machine: OtherMachine;
  beforeEach(async () => {
    machine = new OtherMachine();
    await machine.start();
    // Whoever has no network shall say so, and not try again for minutes.
    machine.shell('echo "Acquire::Retries 0;" > /etc/apt/apt.conf.d/99-at-once');
  });
  afterEach(() => machine.close());

  const setUp = (...args: readonly string[]) =>
    machine.run([process.execPath, SCRIPT, ...args], {
      env: { npm_config_cache: '/nowhere', npm_config_fetch_retries: '0' },
    });
  /** As if its package had never been installed. */
  const forget = (name: string, file: string) =>
    machine.shell(
      `rm "$2"
       awk -v RS= -v ORS='\\n\\n' -v name="Package: $1\\n" 'index($0, name) != 1' \\
         /var/lib/dpkg/status > /tmp/status
       mv /tmp/status /var/lib/dpkg/status`,
      name,
      file,
    );
  /** A directory of the checkout is empty. */
  const lose = (name: string) => machine.shell('mount -t tmpfs none "$1"', join(ROOT, name));
  /** Of those that are missing one is enough to be told of, and sooner told. */
  function loseModules(): void {
    const { lockfileVersion, packages } = JSON.parse(
      readFileSync(join(ROOT, 'package-lock.json'), 'utf8'),
    );
    const { ini } = packages[''].dependencies;
    const self = { dependencies: { ini } };
    const of = 'node_modules/ini';
    const put = (file: string, value: object) =>
      machine.shell('printf %s "$2" > "$1"', join(ROOT, file), JSON.stringify(value));
    put('package.json', self);
    put('package-lock.json', { lockfileVersion, packages: { '': self, [of]: packages[of] } });
    lose('node_modules');
  }
  const lastLine = (output: string) => output.trimEnd().split('\n').at(-1);

  test('installs what is missing by apt, by name, and has no daemon started', () => {
    forget('memcached', '/usr/bin/memcached');
    machine.shell(MIRROR_OF_ONE);
    const { status, output } = setUp('--test');
    expect([status, output]).toEqual([0, expect.stringContaining('Setting up memcached (9.9)')]);
    expect(output.match(/^set-up: .*$/gm)).toEqual([
      'set-up: installing Debian packages: memcached',
    ]);
    const daemon = () => machine.shell('cat /run/started 2>/dev/null || echo no');
    expect(daemon()).toBe('no\n');
    expect(setUp('--test')).toEqual({ status: 0, output: '' });
    // It would have been, as now, when nobody forbids it any more.
    machine.shell('dpkg-reconfigure memcached');
    expect(daemon()).toBe('yes\n');
  });

  test('compiles TypeScript and the C program where neither has been', () => {
    machine.shell('rm -r "$1/dist" "$1/build"', ROOT);
    const { status, output } = setUp();
    expect([status, output]).toEqual([0, expect.stringMatching(/^(build: [a-z]+\n)+$/)]);
    expect(output).toMatch(/^build: typescript\n.*^build: init$/ms);
    expect(machine.run([join(ROOT, 'bin/emperor'), '--version']).output).toMatch(/^\d+\.\d+/);
    const program = join(ROOT, 'build/native/emperor-init');
    const digest = createHash('sha256').update(readFileSync(program)).digest('hex');
    expect(machine.shell('sha256sum "$1"', program)).toContain(digest);
  });

  test('has mmdebstrap build the distro, and shows its progress', () => {
    lose('distros');
    // What takes half a minute and a mirror is done by somebody of the same name.
    machine.shell(`cat > /usr/bin/mmdebstrap <<'.'
#!/bin/sh
echo "I: $*"
for fresh; do case $fresh in */.bookworm.new) mkdir "$fresh" "$fresh/etc" "$fresh/usr";; esac; done
.`);
    const { status, output } = setUp();
    expect([status, output]).toEqual([
      0,
      expect.stringMatching(/^set-up: building distros\/bookworm, .*\n {2}I: .*\n$/),
    ]);
    for (const name of ['python3', 'iproute2', 'procps', 'curl']) {
      expect(output).toMatch(new RegExp(`I: .*--include=\\S*\\b${name}\\b`));
    }
    expect(machine.shell('cat "$1/distros/bookworm/etc/hosts"', ROOT)).toContain('localhost');
    expect(setUp()).toEqual({ status: 0, output: '' });
  });

  const offline: readonly (readonly [string, () => void, RegExp])[] = [
    [
      'a package',
      () => {
        forget('memcached', '/usr/bin/memcached');
        machine.shell('apt-get clean');
      },
      /^Cannot set up: `apt-get \w+` failed; is the network there\?$/,
    ],
    [
      'node modules',
      () => loseModules(),
      /^Cannot set up: `npm ci` failed; is the network there\?$/,
    ],
    ['a distro', () => lose('distros'), /^Cannot add distro bookworm: mmdebstrap failed: /],
  ];
  test.each(offline)(
    'without a network says at last that %s cannot be had',
    (_, make, sentence) => {
      make();
      const { status, output } = setUp('--test');
      expect(status).toBe(1);
      expect(lastLine(output)).toMatch(sentence);
    },
  );

  test('says in one sentence that it wants root', () => {
    const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    // The checkout may be a private one.
    machine.shell('mount --bind "$1" /mnt', ROOT);
    const { status, output } = machine.run([
      ...asNobody,
      process.execPath,
      '/mnt/scripts/setup.mjs',
    ]);
    expect({ status, output }).toEqual({
      status: 1,
      output: 'Cannot set up: not root; run it with sudo\n',
    });
  });

  test('says in one sentence that Node is too old, also to one that knows less', () => {
    machine.shell(
      `sed -i "s/process\\.versions\\.node/'18.20.4'/g; s/import\\.meta\\.dirname/undefined/g" "$1"/*.mjs`,
      join(ROOT, 'scripts'),
    );
    const { status, output } = setUp();
    expect({ status, output }).toEqual({
      status: 1,
      output: 'Cannot set up: this is Node 18.20.4, and Emperor needs 20.19 or newer\n',
    });
  });
});

/** A mirror with one package on the disk, whose installation starts a daemon unless somebody forbids that. */
const MIRROR_OF_ONE = `
mkdir -p /srv/mirror /tmp/package
cd /tmp/package
mkdir -p DEBIAN usr/bin etc/init.d etc/rc2.d
cat > DEBIAN/control <<'.'
Package: memcached
Version: 9.9
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: stands for the real one
.
printf '%s\\n' '#!/bin/sh' 'invoke-rc.d memcached start' > DEBIAN/postinst
printf '%s\\n' '#!/bin/sh' 'echo yes > /run/started' > etc/init.d/memcached
printf '%s\\n' '#!/bin/sh' > usr/bin/memcached
ln -s ../init.d/memcached etc/rc2.d/S01memcached
chmod 755 DEBIAN/postinst etc/init.d/memcached usr/bin/memcached
dpkg-deb --root-owner-group --build . /srv/mirror/memcached.deb
cd /srv/mirror
{
  dpkg-deb --field memcached.deb
  echo "Filename: ./memcached.deb"
  echo "Size: $(stat -c %s memcached.deb)"
  echo "SHA256: $(sha256sum memcached.deb | cut -d' ' -f1)"
} > Packages
printf '%s\\n' '#!/bin/sh' 'echo N 2' > /sbin/runlevel
chmod 755 /sbin/runlevel
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d /usr/sbin/policy-rc.d
echo 'deb [trusted=yes] file:/srv/mirror ./' > /etc/apt/sources.list`;
