/** The system call filter as tenants meet it: it lies on all that is started, and programs of every day run under it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';

const emperor = new TestEmperor();
/** Writes how many filters the process has to ~/WHAT. */
const tell = (what: string) => `grep Seccomp_filters /proc/self/status > ~/${what}`;

beforeAll(async () => {
  await emperor.start();
  emperor.apply(
    'blog',
    `[vassal]
command = sh -c "${tell('command')}; exec sleep 100000"
attach-daemon = sh -c "${tell('daemon')}; exec sleep 100000"
cron = @reboot ${tell('cron')}
`,
  );
});
afterAll(() => emperor.close());

const inside = (...command: readonly string[]) => emperor.cli('exec', 'blog', '--', ...command);
const python = (...lines: readonly string[]) => inside('python3', '-c', lines.join('\n'));

describe('the system call filter', () => {
  const filtersIn = (text: string) => Number(/^Seccomp_filters:\t(\d+)$/m.exec(text)?.[1]);

  test('lies on command, daemons, jobs and what is sent in, beside what init itself has', async () => {
    const home = join(emperor.directory, 'homes/blog');
    const fileOf = (what: string) => {
      try {
        return readFileSync(join(home, what), 'utf8');
      } catch {
        // It has not been written yet.
        return '';
      }
    };
    const own = filtersIn(readFileSync(`/proc/${emperor.status('blog').pid}/status`, 'utf8'));
    for (const what of ['command', 'daemon', 'cron']) {
      await until(`${what} has told`, () => fileOf(what).endsWith('\n'));
      expect([what, filtersIn(fileOf(what))]).toEqual([what, own + 1]);
    }
    expect(filtersIn(inside('cat', '/proc/self/status').stdout)).toBe(own + 1);
  });

  test('answers a call of a kernel to come as this one does', () => {
    const { stdout } = python(
      'import ctypes, errno',
      'libc = ctypes.CDLL(None, use_errno=True)',
      'for number in 39, 500, 1000, 435: print(libc.syscall(number, 0, 0) > 0 or errno.errorcode[ctypes.get_errno()])',
    );
    expect(stdout).toBe('True\nENOSYS\nENOSYS\nENOSYS\n');
  });
});

describe('under the filter', () => {
  test('Python has threads, processes, pools of both, sockets, event loops, locks and memory that is shared', () => {
    const { stdout, stderr } = python(
      'import asyncio, concurrent.futures, fcntl, mmap, multiprocessing.shared_memory, os, select, signal, socket',
      'import subprocess, tempfile, threading',
      'print(list(concurrent.futures.ProcessPoolExecutor(2).map(abs, [-1, 2])))',
      'print(list(concurrent.futures.ThreadPoolExecutor(2).map(abs, [-3, 4])))',
      'print(subprocess.run(["echo", "child"], capture_output=True).stdout)',
      'async def talk():',
      '    server = await asyncio.start_unix_server(lambda r, w: w.close(), "/tmp/talk")',
      '    reader, writer = await asyncio.open_unix_connection("/tmp/talk")',
      '    print(await reader.read())',
      'asyncio.run(talk())',
      'shared = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)',
      'shared.unlink()',
      'with tempfile.TemporaryFile() as file: fcntl.flock(file, fcntl.LOCK_EX); os.posix_fallocate(file.fileno(), 0, 10)',
      'print(os.getrandom(4) != b"", len(os.sched_getaffinity(0)) > 0, os.memfd_create("x") > 0)',
      'print(socket.if_nameindex(), socket.getaddrinfo("localhost", 80)[0][4][1])',
    );
    expect({ stdout, stderr }).toEqual({
      stdout: [
        '[1, 2]',
        '[3, 4]',
        "b'child\\n'",
        "b''",
        'True True True',
        "[(1, 'lo')] 80",
        '',
      ].join('\n'),
      stderr: '',
    });
  });

  test.each([
    ['curl', 'curl -sS -o /tmp/copy file:///etc/passwd && cmp /tmp/copy /etc/passwd'],
    ['tar', 'cd /tmp && tar cf - -C /etc passwd | tar xf - && cmp passwd /etc/passwd'],
    [
      'cp',
      'cp -a --reflink=auto /etc/passwd /tmp/again && mv /tmp/again /tmp/moved && rm /tmp/moved',
    ],
    ['flock, nice and timeout', 'flock /tmp/lock nice timeout 5 true'],
    ['setarch, for programs that want fixed addresses', 'setarch -R true'],
    ['sort by threads', 'seq 1000 | sort --parallel=2 -rn | head -1 | grep -x 1000'],
    ['sync and dd with fsync', 'sync ~/command && dd if=/dev/zero of=/tmp/zero count=1 conv=fsync'],
    ['ps', 'ps -e | grep sleep'],
    ['perl', 'perl -e "exit(fork() ? 0 : 0)"'],
  ])('%s works', (_, line) => {
    const { status, stderr } = inside('sh', '-c', line);
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  });
});
