/** The customer's crontab as init reads it: what stands at that name is the tenant's doing, and may be anything. */
import { execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { MAX_INPUT_BYTES } from '../../src/jail/init-client.ts';
import { logLines, type TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { patienceMs } from '../support/slowness.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

let w: World;
const { vassal } = useJails('c', (given) => {
  w = given;
});

const ERRNO = { EPERM: 1, ENOENT: 2, EAGAIN: 11, EACCES: 13, EINVAL: 22, EFBIG: 27, ELOOP: 40 };
const KIB = 1024;
const MAX_BYTES = 64 * KIB;

interface Customer {
  readonly jail: TestJail;
  readonly uid: number;
  /** On the host. */
  readonly file: string;
  read(): ReturnType<TestJail['init']['crontab']>;
  /** How often a change was told. */
  told(): number;
  /** Writes the file as the tenant's editor leaves it. */
  write(text: string | Buffer): void;
}

async function customer(): Promise<Customer> {
  const jail = await vassal();
  const { uid } = await jail.init.hello({ subscribe: true });
  const home = join(w.paths.homes, jail.plan.name);
  const file = join(home, 'crontab');
  let told = 0;
  jail.init.onEvent(({ kind }) => {
    if (kind === 'crontab') told += 1;
  });
  return {
    ...{ jail, uid, file },
    read: () => jail.init.crontab(`/home/${jail.plan.name}`),
    told: () => told,
    write(text) {
      writeFileSync(`${file}.new`, text);
      chownSync(`${file}.new`, uid, uid);
      renameSync(`${file}.new`, file);
    },
  };
}

/** After what was done, all of which init has seen, for there is no more to come. */
async function toldAfterwards({ jail, told }: Customer): Promise<number> {
  await sleep(50);
  await jail.init.hello({ subscribe: true });
  return told();
}

describe('CRONTAB', () => {
  test('reads what the tenant has there, whatever bytes these are', async () => {
    const one = await customer();
    expect(await one.read()).toEqual({ errno: ERRNO.ENOENT });
    one.write('* * * * * x\n');
    expect(await one.read()).toEqual({ text: '* * * * * x\n' });
    one.write('');
    expect(await one.read()).toEqual({ text: '' });
    one.write(Buffer.from([0, 0xff, 0x0a]));
    expect(await one.read()).toEqual({ text: '\0\ufffd\n' });
    one.write('x'.repeat(MAX_BYTES));
    expect(await one.read()).toEqual({ text: 'x'.repeat(MAX_BYTES) });
  });

  test.each<[string, keyof typeof ERRNO, (one: Customer) => void]>([
    [
      'a FIFO',
      'EINVAL',
      ({ file, uid }) => {
        execFileSync('mkfifo', [file]);
        chownSync(file, uid, uid);
      },
    ],
    ['a directory', 'EINVAL', ({ file }) => mkdirSync(file)],
    ['a link to /etc/shadow', 'ELOOP', ({ file }) => symlinkSync('/etc/shadow', file)],
    [
      'a link to a file of its own',
      'ELOOP',
      ({ file }) => {
        writeFileSync(`${file}.own`, '* * * * * x\n');
        symlinkSync('crontab.own', file);
      },
    ],
    ['a link to itself', 'ELOOP', ({ file }) => symlinkSync('crontab', file)],
    [
      'a sparse file of a gigabyte',
      'EFBIG',
      ({ write, file }) => {
        write('');
        truncateSync(file, 1024 * 1024 * KIB);
      },
    ],
    ['one byte too many', 'EFBIG', ({ write }) => write('x'.repeat(MAX_BYTES + 1))],
    ["another user's file", 'EPERM', ({ file }) => writeFileSync(file, '* * * * * x\n')],
    [
      "a file of another user's that it may not read",
      'EACCES',
      ({ file }) => writeFileSync(file, '', { mode: 0o600 }),
    ],
    [
      'a file that it may not read itself',
      'EACCES',
      ({ write, file }) => {
        write('* * * * * x\n');
        chmodSync(file, 0);
      },
    ],
  ])('refuses %s at once', async (_, errno, make) => {
    const one = await customer();
    make(one);
    const before = performance.now();
    expect(await one.read()).toEqual({ errno: ERRNO[errno] });
    expect(performance.now() - before).toBeLessThan(patienceMs(1000));
    // And goes on to look.
    rmSync(one.file, { recursive: true, force: true });
    one.write('* * * * * x\n');
    await until('the change is told', () => one.told() === 1);
    expect(await one.read()).toEqual({ text: '* * * * * x\n' });
  });

  test('does not wait for a process that holds a lease', async () => {
    const one = await customer();
    one.write('* * * * * x\n');
    const script =
      'import fcntl,os,signal,sys,time\n' +
      'signal.signal(signal.SIGIO, signal.SIG_IGN)\n' +
      'fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)\n' +
      "print('held', flush=True)\ntime.sleep(60)\n";
    const holder = spawn('/usr/bin/python3', ['-c', script, one.file]);
    try {
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      const before = performance.now();
      expect(await one.read()).toEqual({ errno: ERRNO.EAGAIN });
      expect(performance.now() - before).toBeLessThan(patienceMs(1000));
    } finally {
      holder.kill('SIGKILL');
    }
    await until('the lease is gone', async () => 'text' in (await one.read()));
  });

  test('reads one of the files whole while they are swapped all the time', async () => {
    const one = await customer();
    const texts = ['a', 'b'].map((letter) => `${letter.repeat(60 * KIB)}\n`);
    const [first = '', second = ''] = texts;
    const seen = new Set<string>();
    for (let turn = 0; turn < 200; turn += 1) {
      one.write(turn % 2 === 0 ? first : second);
      const reading = one.read();
      one.write(turn % 2 === 0 ? second : first);
      rmSync(one.file);
      symlinkSync('/etc/shadow', one.file);
      const got = await reading;
      if ('text' in got) seen.add(got.text);
      else expect([ERRNO.ELOOP, ERRNO.ENOENT]).toContain(got.errno);
    }
    expect([...seen].every((text) => texts.includes(text))).toBe(true);
  });

  test('leaves nothing open', async () => {
    const one = await customer();
    const descriptors = () => readdirSync(`/proc/${one.jail.pid}/fd`).length;
    await one.read();
    const before = descriptors();
    for (let turn = 0; turn < 50; turn += 1) {
      one.write(turn % 2 === 0 ? 'x'.repeat(MAX_BYTES + 1) : '');
      await one.read();
    }
    expect(descriptors()).toBe(before);
  });
});

describe('a change', () => {
  test('is told within a second, whichever way it comes', async () => {
    const one = await customer();
    const steps: readonly (() => void)[] = [
      () => one.write('1'),
      () => appendFileSync(one.file, '2'),
      () => chmodSync(one.file, 0),
      () => rmSync(one.file),
      () => symlinkSync('/etc/shadow', one.file),
      () => rmSync(one.file),
      () => {
        writeFileSync(`${one.file}.draft`, '');
        linkSync(`${one.file}.draft`, one.file);
      },
      () => renameSync(one.file, `${one.file}.old`),
    ];
    for (const [index, step] of steps.entries()) {
      await one.read();
      step();
      await until(`step ${index} is told`, () => one.told() === index + 1, 1000);
    }
  });

  test('is told once until it is read again, however many there are', async () => {
    const one = await customer();
    await one.read();
    for (let turn = 0; turn < 500; turn += 1) one.write(`${turn}`);
    expect(await toldAfterwards(one)).toBe(1);
    expect(await one.read()).toEqual({ text: '499' });
    one.write('more');
    await until('the next one is told', () => one.told() === 2);
  });

  test('is not told of other files, nor of one that is still being written', async () => {
    const one = await customer();
    await one.read();
    for (const other of ['crontab.x', 'xcrontab', '.crontab.swp'])
      writeFileSync(join(one.file, '..', other), '');
    const script = 'exec 3> "$1"; echo half >&3; echo; read go; echo >&3';
    const writer = spawn('/bin/sh', ['-c', script, 'sh', one.file]);
    await new Promise((resolve) => writer.stdout.once('data', resolve));
    expect(await toldAfterwards(one)).toBe(0);
    writer.stdin.end('\n');
    await until('it is told', () => one.told() === 1);
  });

  test('costs init nothing while there is none', async () => {
    const { jail, read } = await customer();
    await read();
    // How often it fell asleep, and its user and system time.
    const spent = () => {
      const status = readFileSync(`/proc/${jail.pid}/status`, 'utf8');
      const stat = readFileSync(`/proc/${jail.pid}/stat`, 'utf8').split(' ').slice(13, 15);
      return `${/^voluntary.*/m.exec(status)?.[0]} ${stat.join(' ')}`;
    };
    // It answers before it falls asleep.
    await until('it sleeps', async () => {
      const before = spent();
      await sleep(100);
      return spent() === before;
    });
    const before = spent();
    await sleep(1500);
    expect(spent()).toBe(before);
  });
});

describe('INPUT', () => {
  test('is what a process reads from its standard input, to its end', async () => {
    const jail = await vassal();
    const input = `${'x'.repeat(100)}\n`.repeat(40).slice(0, MAX_INPUT_BYTES);
    await jail.run(['/bin/cat'], { input });
    const lines = logLines(w.logOf(jail.plan.name)).map(({ text }) => text);
    expect(lines.join('\n')).toBe(input.trimEnd());
  });

  test('of one byte too many starts nothing', async () => {
    const jail = await vassal();
    const input = 'x'.repeat(MAX_INPUT_BYTES + 1);
    await expect(jail.start(['/bin/cat'], { input })).rejects.toThrow('too much input');
    expect(await jail.init.list()).toEqual([]);
  });

  test('that nobody reads keeps nothing open', async () => {
    const jail = await vassal();
    const descriptors = () => readdirSync(`/proc/${jail.pid}/fd`).length;
    const before = descriptors();
    for (let turn = 0; turn < 5; turn += 1) await jail.run(['/bin/says', 'no'], { input: 'x\n' });
    expect(descriptors()).toBe(before);
  });
});

test('NOTE writes lines to the log of the vassal, under their label', async () => {
  const jail = await vassal();
  await jail.init.note('crontab', ['line 2: error', 'x'.repeat(9000)]);
  const lines = logLines(w.logOf(jail.plan.name));
  expect(lines.map(({ label, stream, text }) => [label, stream, text])).toEqual([
    ['crontab', 'stderr', 'line 2: error'],
    ['crontab', 'stderr', 'x'.repeat(8192)],
  ]);
});
