/** Attacks from a shell inside a vassal: on PID 1, the kernel's interfaces, neighbours, logs and its own end. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';
import { allPids, commandOf, isAlive } from '../support/proc.ts';

const CANARY = 'canary-of-the-emperor';
/** Nobody else's, so that whoever has it is ours. */
const FIRST_UID = 1_000_000 + 16 * process.pid;
const emperor = new TestEmperor({ ini: `uid-range = ${FIRST_UID}-${FIRST_UID + 15}` });

/** Runs a Python program in a vassal; what it prints. */
function python(vassal: string, ...lines: readonly string[]): string {
  const program = [PRELUDE, ...lines].join('\n');
  const { stdout, stderr } = emperor.cli('exec', vassal, '--', 'python3', '-c', program);
  return stdout + stderr;
}

const PRELUDE = `
import ctypes, errno, fcntl, os, signal, socket, stat, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def told(call, *args):
    try: result = call(*args)
    except OSError as error: return errno.errorcode[error.errno]
    return 'ok' if result is None or not isinstance(result, int) or result >= 0 else errno.errorcode[ctypes.get_errno()]
def syscall(number, *args): return told(libc.syscall, number, *(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
`;

import { patienceMs } from '../support/slowness.ts';

/** Python expressions whose results are asked for in one go, since each `exec` takes its time. */
const attempts = new Map<string, string>();

/** Has `expression`, such as `told(os.kill, 1, 9)`, tried in vassal `blog`; returns what gives the result. */
function attempt(expression: string): () => string | undefined {
  attempts.set(expression, '');
  return () => attempts.get(expression);
}

function tryAll(): void {
  const expressions = [...attempts.keys()];
  const lines = python('blog', ...expressions.map((each) => `print(${each})`))
    .trim()
    .split('\n');
  expect(lines).toHaveLength(expressions.length);
  for (const [at, expression] of expressions.entries()) attempts.set(expression, lines[at] ?? '');
}

beforeAll(async () => {
  process.env.EMPEROR_CANARY = CANARY;
  await emperor.start();
  emperor.apply(
    'blog',
    '[vassal]\ncommand = sh -c "tr \\"\\\\\\\\0\\" \\"\\\\\\\\n\\" < /proc/self/environ; ls -l /proc/self/fd; exec sleep 100000"\nstop-grace = 1s\nlog-max-size = 64K\n',
  );
  emperor.apply('shop', '[vassal]\ncommand = sleep 100000\n');
  tryAll();
});
afterAll(() => emperor.close());

const pidOf = (name: string) => emperor.status(name).pid ?? 0;
const PIDFD_SEND_SIGNAL = 424;

describe('PID 1', () => {
  test('lives through every signal, also those sent through /proc/1 as a descriptor', () => {
    const before = pidOf('blog');
    const sent = python(
      'blog',
      'p = os.open("/proc/1", os.O_RDONLY)',
      `for n in range(1, 65): os.kill(1, n); syscall(${PIDFD_SEND_SIGNAL}, p, n, 0, 0)`,
      'print("sent")',
    );
    expect(sent).toContain('sent');
    expect(emperor.cli('exec', 'blog', '--', 'true').status).toBe(0);
    expect(pidOf('blog')).toBe(before);
  });

  for (const file of ['mem', 'environ', 'maps', 'auxv', 'stack', 'syscall', 'pagemap', 'io']) {
    const open = (pid: string) => attempt(`told(os.open, "/proc/${pid}/${file}", os.O_RDONLY)`);
    const [first, own] = [open('1'), open('self')];
    test(`does not show /proc/1/${file}`, () => {
      expect(first()).toMatch(/EACCES|EPERM/);
      expect(own()).toBe('ok');
    });
  }

  for (const file of ['root', 'cwd', 'exe', 'ns/mnt', 'fd', 'map_files']) {
    const call = ['fd', 'map_files'].includes(file) ? 'os.listdir' : 'os.readlink';
    const [first, own] = ['1', 'self'].map((pid) =>
      attempt(`told(${call}, "/proc/${pid}/${file}")`),
    );
    test(`lets nobody through /proc/1/${file}`, () => {
      expect(first?.()).toBe('EACCES');
      expect(own?.()).toBe('ok');
    });
  }

  for (const file of ['oom_score_adj', 'autogroup', 'comm', 'clear_refs', 'coredump_filter']) {
    const open = (pid: string) => attempt(`told(os.open, "/proc/${pid}/${file}", os.O_WRONLY)`);
    const [first, own] = [open('1'), open('self')];
    test(`lets nobody write /proc/1/${file}`, () => {
      expect(first()).toBe('EACCES');
      expect(own()).toBe('ok');
    });
  }

  test("answers while its uid's share of descriptors in flight is used up", () => {
    const seen = python(
      'blog',
      'kept = []',
      'try:',
      '    while len(kept) < 200:',
      '        kept.append(socket.socketpair()); socket.send_fds(kept[-1][0], [b"x"], [0] * 250)',
      'except OSError as error: print(errno.errorcode[error.errno])',
      'print(len(kept))',
    );
    expect(seen).toContain('ETOOMANYREFS');
    expect(emperor.cli('exec', 'blog', '--', 'echo', 'alive').stdout).toBe('alive\n');
  });
});

describe('the kernel', () => {
  test('has no file in /proc that a tenant can write, but those of its own processes', () => {
    const found = python(
      'blog',
      'for top, directories, files in os.walk("/proc"):',
      '    if top == "/proc": directories[:] = [d for d in directories if not d.isdigit() and d not in ("self", "thread-self")]',
      '    for name in files:',
      '        path = os.path.join(top, name)',
      '        if stat.S_ISREG(os.lstat(path).st_mode) and told(os.open, path, os.O_WRONLY) == "ok": print(path)',
      'print("end", told(os.open, "/proc/self/comm", os.O_WRONLY))',
    );
    expect(found).toBe('end ok\n');
  });

  test('has no directory on a writable mount outside what the tenant was given', () => {
    const found = python(
      'blog',
      'for line in open("/proc/self/mountinfo"):',
      '    words = line.split()',
      '    if words[5].startswith("rw") and os.access(words[4], os.W_OK): print(words[4])',
    );
    expect(found.trim().split('\n').sort()).toEqual(
      ['/dev/mqueue', '/dev/shm', '/home/blog', '/run', '/tmp', '/var/tmp'].sort(),
    );
  });

  test('runs no program with more rights: not from the distro, /tmp or home', () => {
    const flags = python('blog', 'print(open("/proc/self/mountinfo").read())');
    const lax = flags
      .split('\n')
      .filter((line) => line !== '' && !/^(\S+ ){5}\S*nosuid/.test(line));
    expect(flags).toContain(' /home/blog ');
    expect(lax).toEqual([]);
  });

  const refused: readonly (readonly [string, string])[] = [
    ['mount', 'syscall(165, b"none", b"/tmp", b"tmpfs", 0, 0)'],
    ['umount2', 'syscall(166, b"/proc", 2)'],
    ['unshare(CLONE_NEWUSER)', 'syscall(272, 0x10000000)'],
    ['clone(CLONE_NEWUSER)', 'syscall(56, 0x10000011, 0, 0, 0, 0)'],
    ['setns through /proc/1', 'syscall(308, os.open("/proc/1", os.O_RDONLY), 0x20000)'],
    ['ptrace of PID 1', 'syscall(101, 0x4206, 1, 0, 0)'],
    ['pidfd_open of PID 1', 'syscall(434, 1, 0)'],
    ['prlimit of PID 1', 'syscall(302, 1, 7, 0, 0)'],
    ['prlimit of PID 1 with upper bits', 'syscall(302, 0x100000001, 7, 0, 0)'],
    ['keyctl', 'syscall(250, 0, -3, 0)'],
    ['open_by_handle_at', 'syscall(304, -100, 0, 0)'],
    ['mknod of a disk', 'told(os.mknod, "/tmp/disk", stat.S_IFBLK | 0o600, os.makedev(254, 0))'],
    ['TIOCSTI', 'told(fcntl.ioctl, os.open("/dev/ptmx", os.O_RDWR), 0x5412, b"x")'],
  ];
  for (const [what, expression] of refused) {
    const result = attempt(expression);
    test(`refuses ${what}`, () => expect(result()).toMatch(/^(EPERM|EACCES)$/));
  }
});

describe('the root', () => {
  const climbed = attempt('os.path.samefile("/", "/" + "../" * 30)');
  const fromHome = attempt('os.path.samefile("/", "/home/blog/" + "../" * 30)');
  const byProc = attempt('os.path.samefile("/", "/proc/self/root/" + "../" * 30)');
  test('has nothing above it, by whichever way one climbs', () => {
    expect([climbed(), fromHome(), byProc()]).toEqual(['True', 'True', 'True']);
  });

  const hosts = attempt('[os.path.exists(p) for p in ("/host", "/../host", "/proc/1/root/host")]');
  test('has no way to the base below it, nor to the tree of the host that stood there', () => {
    expect(hosts()).toBe('[False, False, False]');
  });

  const mounts = attempt(
    'sorted({line.split()[4].split("/")[1] for line in open("/proc/self/mountinfo")})',
  );
  test('is all that the table of mounts knows, besides what the plan mounts on it', () => {
    expect(mounts()).toBe("['', 'dev', 'etc', 'home', 'proc', 'run', 'sys', 'tmp', 'var']");
  });
});

describe('what a process inside inherits', () => {
  test('is none of the environment of the emperor, and nothing of it can be read', () => {
    const host = readFileSync(`/proc/${emperor.pid}/environ`, 'utf8');
    expect(host).toContain(CANARY);
    const socket = `${emperor.directory}/run/launcher.sock`;
    const launcher = allPids().filter((pid) => commandOf(pid).includes(socket));
    expect(launcher).toHaveLength(1);
    expect(readFileSync(`/proc/${launcher[0]}/environ`, 'utf8')).not.toContain(CANARY);
    expect(readFileSync(`/proc/${pidOf('blog')}/environ`, 'utf8')).toBe('');
    expect(emperor.log('blog')).toContain('HOME=/home/blog');
    expect(emperor.log('blog')).not.toMatch(/canary|npm_|EMPEROR/i);
    expect(emperor.cli('exec', 'blog', '--', 'env').stdout).not.toMatch(/canary|npm_|EMPEROR/i);
  });

  test.each(['exec', 'command'])('is no descriptor but its own three (%s)', (kind) => {
    const text =
      kind === 'exec'
        ? emperor.cli('exec', 'blog', '--', 'ls', '-l', '/proc/self/fd').stdout
        : emperor.log('blog');
    const numbers = [...text.matchAll(/ (\d+) -> (\S+)/g)].map(
      ([, number, to]) => `${number} ${to}`,
    );
    expect(numbers.map((each) => Number.parseInt(each, 10))).toEqual([0, 1, 2, 3]);
    // The last one is what `ls` opened itself.
    expect(numbers[3]).toMatch(/^3 \/proc\/\d+\/fd$/);
  });

  test('is no signal that is ignored or blocked, no group, no capability', () => {
    const status = emperor.cli(
      'exec',
      'blog',
      '--',
      'grep',
      '-E',
      'Sig(Blk|Ign)|Groups|Cap|NoNew',
      '/proc/self/status',
    ).stdout;
    expect(status.match(/^(Sig|Cap)\w+:\t0{16}$/gm)).toHaveLength(7);
    expect(status).toMatch(/^Groups:\s*$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });

  test('of a hook is none of the environment of the emperor either', () => {
    const out = join(emperor.directory, 'hook.env');
    emperor.apply(
      'hooked',
      `[vassal]\nexec-as-root = env > ${out}; ls -l /proc/self/fd >> ${out}\ncommand = sleep 100000\n`,
    );
    const seen = readFileSync(out, 'utf8');
    expect(seen).toContain('EMPEROR_VASSAL=hooked');
    expect(seen).not.toMatch(/canary|npm_|HOME=/i);
    expect([...seen.matchAll(/ (\d+) -> /g)].map(([, number]) => Number(number))).toEqual([
      0, 1, 2, 3,
    ]);
  });
});

describe('the network of a vassal', () => {
  const datagrams = attempt('told(socket.socket, socket.AF_INET, socket.SOCK_DGRAM, 1)');
  const raw = attempt('told(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)');
  test('has ping by datagrams, and no raw sockets', () => {
    expect(datagrams()).toBe('ok');
    expect(raw()).toBe('EPERM');
  });
});

describe('sizes', () => {
  test('of /tmp, /var/tmp and /run are what the file says', () => {
    emperor.apply('sized', '[vassal]\ncommand = sleep 1000\ntmp-size = 1M\nrun-size = 1M\n');
    const fill = (path: string, kilobytes: number) =>
      emperor.cli(
        'exec',
        'sized',
        '--',
        'dd',
        'if=/dev/zero',
        `of=${path}/fill`,
        'bs=1k',
        `count=${kilobytes}`,
      );
    for (const path of ['/tmp', '/var/tmp', '/run']) {
      expect(fill(path, 512).status).toBe(0);
      expect(fill(path, 2048).stderr).toMatch(/No space left on device/);
    }
  });
});

describe('neighbours', () => {
  test('M10: share no shared memory, semaphore or queue of either kind, no abstract socket, no terminal', () => {
    const hold = [
      's = socket.socket(socket.AF_UNIX); s.bind("\\0canary"); s.listen()',
      'open("/dev/shm/canary", "w"); open("/dev/mqueue/canary", "w"); open("/run/canary", "w")',
      'm = os.open("/dev/ptmx", os.O_RDWR)',
      'libc.shmget(0x5eed, 4096, 0o1666); libc.semget(0x5eed, 1, 0o1666); libc.msgget(0x5eed, 0o1666)',
    ];
    const look = [
      'print(told(socket.socket(socket.AF_UNIX).connect, "\\0canary"))',
      'print(*(os.path.exists(f) for f in ("/dev/shm/canary", "/dev/mqueue/canary", "/run/canary", "/dev/pts/0")))',
      'print(*(told(*call) for call in ((libc.shmget, 0x5eed, 4096, 0), (libc.semget, 0x5eed, 0, 0), (libc.msgget, 0x5eed, 0))))',
    ];
    emperor.apply(
      'holder',
      `[vassal]\ncommand = python3 -u /home/holder/hold.py\nrestart = never\n`,
    );
    const script = join(emperor.directory, 'homes/holder/hold.py');
    writeFileSync(script, [PRELUDE, ...hold, 'print("holds")', 'time.sleep(1000)'].join('\n'));
    chmodSync(script, 0o644);
    emperor.cli('restart', 'holder');
    return until('the holder holds', () => emperor.log('holder').includes('holds')).then(() => {
      expect(python('holder', ...look)).toBe('ok\nTrue True True True\nok ok ok\n');
      expect(python('shop', ...look)).toBe(
        'ECONNREFUSED\nFalse False False False\nENOENT ENOENT ENOENT\n',
      );
    });
  });

  test('M7: see no processes but their own, whose first one is their init', () => {
    const seen = (name: string) =>
      emperor.cli('exec', name, '--', 'ps', '-eo', 'pid=,comm=,args=').stdout;
    expect(seen('blog')).toMatch(/sleep 100000$/m);
    const [first, ...others] = seen('shop').trimEnd().split('\n');
    expect(first).toMatch(/^ +1 init /);
    expect(others.map((line) => line.trim().split(/ +/)[1])).toEqual(['sleep', 'ps']);
    expect(emperor.cli('exec', 'shop', '--', 'cat', '/proc/1/comm').stdout).toBe('init\n');
  });

  test('M8: see no files of each other, be it in homes, logs or anywhere else', () => {
    writeFileSync(join(emperor.directory, 'homes/blog/of-blog'), '', { mode: 0o644 });
    const find = (name: string) =>
      emperor
        .cli('exec', name, '--', 'sh', '-c', 'find / -name "of-b*" -print 2>/dev/null; ls /home')
        .stdout.split('\n')
        .filter((line) => line !== '' && !line.startsWith('/proc/'));
    expect(find('blog')).toEqual(['/home/blog/of-blog', 'blog']);
    expect(find('shop')).toEqual(['shop']);
    const log = (name: string) =>
      emperor.cli('exec', name, '--', 'cat', '/var/log/vassal/current').stdout;
    expect(log('blog')).toContain('HOME=/home/blog');
    expect(log('shop')).not.toContain('blog');
  });
});

describe('logs', () => {
  const NASTY = String.raw`\x1b]0;pwned\x07 \xc2\x9b31m \x7f \xe2\x80\xae \x9b end`;

  test('carry no control character of the tenant to a terminal', async () => {
    emperor.apply(
      'nasty',
      `[vassal]\ncommand = python3 -c "import sys,time; sys.stdout.buffer.write(b'${NASTY.replaceAll('\\', '\\\\')}\\\\n'); sys.stdout.flush(); time.sleep(1000)"\n`,
    );
    await until('it has written', () => emperor.log('nasty').includes('end'));
    expect(emperor.log('nasty')).toMatch(/\x1b\]0;pwned\x07/);
    const terminal = execFileSync(
      'script',
      [
        '-qec',
        `${process.cwd()}/bin/emperor --ini ${emperor.ini} logs nasty; ${process.cwd()}/bin/emperor --ini ${emperor.ini} logs nasty --json; ${process.cwd()}/bin/emperor --ini ${emperor.ini} status nasty`,
        '/dev/null',
      ],
      { encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } },
    );
    expect(terminal.split('pwned').length).toBeGreaterThan(3);
    expect(terminal.replaceAll(/[\r\n\t]/g, '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  test('cannot be forged: what looks like a line of init stays the text of a line', () => {
    const forged = '2026-01-01T00:00:00.000000000Z system F init forged';
    python('blog', `os.write(os.open("/proc/2/fd/1", os.O_WRONLY), b"${forged}\\n")`);
    return until('it is written', () => emperor.log('blog').includes('forged')).then(() => {
      expect(emperor.cli('logs', 'blog', '--label', 'init').stdout).not.toContain('forged');
    });
  });

  const spoiling = [
    'told(os.open, "/var/log/vassal/current", os.O_WRONLY)',
    'told(os.unlink, "/var/log/vassal/current")',
    'told(os.chmod, "/var/log/vassal/current", 0o777)',
    'told(os.rename, "/var/log/vassal", "/var/log/x")',
  ].map(attempt);
  const reading = attempt('told(os.open, "/var/log/vassal/current", os.O_RDONLY)');
  test('can be read, and neither changed nor removed, from inside', () => {
    expect(spoiling.map((result) => result())).toEqual(['EROFS', 'EROFS', 'EROFS', 'EROFS']);
    expect(reading()).toBe('ok');
  });

  test('open although the tenant holds a lease on them', async () => {
    const holder = spawn(
      `${process.cwd()}/bin/emperor`,
      [
        '--ini',
        emperor.ini,
        'exec',
        'blog',
        '--',
        'python3',
        '-uc',
        `${PRELUDE}
out = os.open("/proc/2/fd/1", os.O_WRONLY)
while not os.path.exists("/var/log/vassal/current.1"): os.write(out, b"x" * 60 + b"\\n"); time.sleep(0.001)
def give_up(*_): time.sleep(1); os._exit(0)
signal.signal(signal.SIGIO, give_up)
fd = os.open("/var/log/vassal/current.1", os.O_RDONLY)
print(told(fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_WRLCK))
time.sleep(1000)`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const ended = new Promise((done) => holder.once('exit', done));
    let said = '';
    holder.stdout.on('data', (chunk) => {
      said += chunk;
    });
    // Unbuffered, python writes a line and its end in two pieces.
    await until('the tenant has said whether it has a lease', () => said.endsWith('\n'));
    expect(said).toBe('ok\n');
    const answer = emperor.cli('logs', 'blog');
    expect(answer).toMatchObject({ status: 0, stderr: '' });
    expect(answer.stdout).toContain('HOME=/home/blog');
    await ended;
  });
});

describe('the end of a vassal', () => {
  test('comes in time for what is stopped, traced, orphaned, waits for vfork or ignores every signal', async () => {
    const script = join(emperor.directory, 'homes/blog/evil.py');
    writeFileSync(
      script,
      `${PRELUDE}
for n in range(1, 65):
    try: signal.signal(n, signal.SIG_IGN)
    except OSError: pass
def spawn(call, *args):
    if os.fork() == 0:
        os.setsid()
        call(*args)
        time.sleep(1000)
def stopped(): os.kill(os.getpid(), signal.SIGSTOP)
def traced():
    if os.fork() == 0:
        libc.ptrace(0, 0, 0, 0); stopped()
def vforks(): libc.syscall(56, 0x4000 | 17, 0, 0, 0, 0)
for call in (stopped, traced, vforks): spawn(call)
for n in range(20): spawn(os.fork)
print("ready")
time.sleep(1000)`,
    );
    chmodSync(script, 0o644);
    emperor.write('blog', '[vassal]\ncommand = python3 -u /home/blog/evil.py\nstop-grace = 1s\n');
    await until('all of them run', () => emperor.log('blog').includes('command ready'));
    const began = performance.now();
    emperor.remove('blog');
    emperor.wait('blog', 'gone');
    expect(performance.now() - began).toBeLessThan(patienceMs(5000));
    expect(existsSync(join(emperor.directory, 'run/vassals/blog'))).toBe(false);
    const uid = execFileSync('stat', ['-c', '%u', join(emperor.directory, 'homes/blog')], {
      encoding: 'utf8',
    }).trim();
    // A zombie that its parent, the launcher, has not reaped yet is nobody's process any more.
    const left = readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid) && uidOf(pid) === uid && isAlive(Number(pid)))
      .map((pid) => readFileSync(`/proc/${pid}/status`, 'utf8'));
    expect(left).toEqual([]);
  });

  test('is not delayed by commands that are sent in meanwhile', async () => {
    emperor.apply(
      'busy',
      '[vassal]\ncommand = sh -c "trap : TERM; while :; do sleep 1; done"\nstop-grace = 1s\n',
    );
    const calls = Array.from({ length: 6 }, () =>
      spawn(
        `${process.cwd()}/bin/emperor`,
        ['--ini', emperor.ini, 'exec', 'busy', '--', 'sleep', '100'],
        { stdio: 'ignore' },
      ),
    );
    const ended = calls.map(
      (call) => new Promise<number>((done) => call.once('exit', (code) => done(code ?? -1))),
    );
    emperor.cli('stop', 'busy');
    emperor.wait('busy', 'stopped', '10s');
    for (const code of await Promise.all(ended)) expect(code).toBeGreaterThan(0);
    expect(existsSync(join(emperor.directory, 'run/vassals/busy'))).toBe(false);
  });
});

function uidOf(pid: string): string | undefined {
  try {
    return /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  } catch {
    // It ended meanwhile.
    return undefined;
  }
}
