/**
 * What an emperor finds in run-dir when it starts is believed as far as the kernel says so: whatever has become of it, no
 * process gets a signal but those of the vassal concerned, and nothing is removed but what is below run-dir.
 */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findJails } from '../../src/emperor/adopt.ts';
import { encodeFrame } from '../../src/jail/frames.ts';
import type { Welcome } from '../../src/jail/init-client.ts';
import { STATE, TAG, VERB } from '../../src/jail/wire.ts';
import { bootId, readStartTime } from '../../src/linux/proc.ts';
import type { Jail, JailHost } from '../../src/vassal/jail.ts';
import { FIXTURES } from '../support/compile.ts';
import { jailHostOf, launchJail } from '../support/jail-host.ts';
import { until } from '../support/wait.ts';
import { type World, world } from '../support/world.ts';

let w: World;
let host: JailHost;
let canary: string;

beforeAll(async () => {
  w = await world();
  host = await jailHostOf(w);
  canary = join(w.directory, 'canary');
});
afterAll(async () => {
  await host.poller.close();
  await w.close();
});

type Decoy = ChildProcessByStdio<Writable, Readable, null>;
let decoys: Decoy[];

/** A process that answers at `path` as an init of which `welcome` tells all, and tells its signals. */
async function decoy(path: string, tell: (startTime: bigint) => Welcome): Promise<Decoy> {
  const program = [join(FIXTURES, 'answers-as-init.py'), path];
  const one = spawn('python3', program, { stdio: ['pipe', 'pipe', 'inherit'] });
  decoys.push(one);
  one.stdin.write(`${answerOf(tell(BigInt(readStartTime(one.pid ?? 0) ?? 0)))}\n`);
  await once(one.stdout, 'readable');
  return one;
}

function answerOf(welcome: Welcome): string {
  const fields = [
    [TAG.VERSION, welcome.version],
    [TAG.NAME, welcome.name],
    [TAG.GENERATION, welcome.generation],
    [TAG.HASH, welcome.hash],
    [TAG.BOOT_ID, welcome.bootId],
    [TAG.START_TIME, welcome.startTime],
    [TAG.TIME_MS, welcome.startedAtMs],
    [TAG.STATE, welcome.state === 'gate' ? STATE.GATE : STATE.RUNNING],
    [TAG.UID, welcome.uid],
  ] as const;
  // HELLO is the first that is said.
  return encodeFrame({ verb: VERB.WELCOME, id: 1, fields }).toString('hex');
}

/** What a decoy has said when it is told to end. */
async function lastWords({ stdin, stdout }: Decoy): Promise<string> {
  stdin.end();
  return text(stdout);
}

let whole: Jail;
let hurt: Jail;
let adopted: readonly Jail[];
const placeOf = (name: string) => join(host.runDirectory, name);

beforeEach(async () => {
  decoys = [];
  adopted = [];
  mkdirSync(canary);
  writeFileSync(join(canary, 'init.sock'), 'kept');
  whole = await launchJail(w, host, 'whole');
  hurt = await launchJail(w, host, 'hurt');
});
afterEach(async () => {
  for (const jail of adopted) await jail.kill();
  for (const name of ['whole', 'hurt']) expect(w.membership.isPopulated(name)).toBe(false);
  expect(readFileSync(join(canary, 'init.sock'), 'utf8')).toBe('kept');
  rmSync(canary, { recursive: true });
  for (const each of decoys) expect(await lastWords(each)).toBe('listens\n');
});

/** Has another emperor come; returns whom it adopts. */
async function adopt(): Promise<readonly string[]> {
  whole.release();
  hurt.release();
  const found = await findJails(host);
  adopted = found.map(({ jail }) => jail);
  return found.map(({ name, jail }) => `${name} ${jail.pid}`).sort();
}

const socket = () => join(placeOf('hurt'), 'init.sock');
const replaceSocket = (by: (path: string) => void) => {
  rmSync(socket());
  by(socket());
};
const replacePlace = (by: (path: string) => void) => {
  rmSync(placeOf('hurt'), { recursive: true });
  by(placeOf('hurt'));
};

/** What a record of a process would say, of a stranger. */
async function recordOfStranger(): Promise<string> {
  const welcome = await hurt.init.hello();
  const { pid = 0 } = await decoy(join(w.directory, 'decoy.sock'), () => welcome);
  rmSync(join(w.directory, 'decoy.sock'));
  return JSON.stringify({ name: 'hurt', pid, startTime: readStartTime(pid), bootId: bootId() });
}

const DAMAGES: Readonly<Record<string, () => void | Promise<void>>> = {
  'its socket is gone': () => rmSync(socket()),
  'its directory is gone': () => rmSync(placeOf('hurt'), { recursive: true }),
  'its directory is empty': () => replacePlace((path) => mkdirSync(path)),
  'its directory is a file': () => replacePlace((path) => writeFileSync(path, '')),
  'its directory is a link out of run-dir': () => replacePlace((path) => symlinkSync(canary, path)),
  "its directory is a link to a neighbour's": () =>
    replacePlace((path) => symlinkSync('whole', path)),
  'its directory has another name': () => renameSync(placeOf('hurt'), placeOf('hurs')),
  'its socket is a file': () => replaceSocket((path) => writeFileSync(path, '')),
  'its socket is a file that names a stranger': async () => {
    const record = await recordOfStranger();
    replaceSocket((path) => writeFileSync(path, record));
  },
  'its socket is a directory': () => replaceSocket((path) => mkdirSync(path)),
  'its socket is a FIFO': () => replaceSocket((path) => execFileSync('mkfifo', [path])),
  'its socket is a link to nowhere': () => replaceSocket((path) => symlinkSync('nowhere', path)),
  'its socket is a link to itself': () => replaceSocket((path) => symlinkSync(path, path)),
  'its socket is a link out of run-dir': () =>
    replaceSocket((path) => symlinkSync(join(canary, 'init.sock'), path)),
  'its socket is a device': () => replaceSocket((path) => symlinkSync('/dev/null', path)),
  "its socket is a link to a neighbour's": () =>
    replaceSocket((path) => symlinkSync('../whole/init.sock', path)),
  "its socket is a neighbour's": () =>
    replaceSocket((path) => linkSync(join(placeOf('whole'), 'init.sock'), path)),
  'a stranger answers there with what its init said': async () => {
    const welcome = await hurt.init.hello();
    rmSync(socket());
    await decoy(socket(), () => welcome);
  },
  'a stranger answers there as a start that was interrupted': async () => {
    const welcome = await hurt.init.hello();
    rmSync(socket());
    await decoy(socket(), () => ({ ...welcome, state: 'gate' }));
  },
  'a stranger answers there that says when it really began': async () => {
    const welcome = await hurt.init.hello();
    rmSync(socket());
    await decoy(socket(), (startTime) => ({ ...welcome, startTime }));
  },
};

describe('where', () => {
  test.each(Object.entries(DAMAGES))(
    '%s, that vassal is ended and everybody else left alone',
    async (_, damage) => {
      await damage();
      expect(await adopt()).toEqual([`whole ${whole.pid}`]);
      await until('its init has ended', () => !w.membership.isPopulated('hurt'));
      expect(readdirSync(host.runDirectory)).toEqual(['whole']);
      expect(statSync(join(placeOf('whole'), 'init.sock')).isSocket()).toBe(true);
    },
  );

  test('two vassals have the directories of each other, both are ended, and none by the name of the other', async () => {
    renameSync(placeOf('hurt'), placeOf('other'));
    renameSync(placeOf('whole'), placeOf('hurt'));
    renameSync(placeOf('other'), placeOf('whole'));
    expect(await adopt()).toEqual([]);
    expect(readdirSync(host.runDirectory)).toEqual([]);
  });

  test('files beside the socket name a stranger, nobody reads them', async () => {
    const record = await recordOfStranger();
    for (const name of ['pid', 'init.pid', 'record.json', 'lock'])
      writeFileSync(join(placeOf('hurt'), name), record);
    expect(await adopt()).toEqual([`hurt ${hurt.pid}`, `whole ${whole.pid}`]);
  });
});

test('nothing in run-dir has any content that could be damaged', async () => {
  const files = readdirSync(w.paths.run, { recursive: true, withFileTypes: true });
  const plain = files.filter((file) => file.isFile());
  expect(plain.length).toBeGreaterThan(0);
  for (const file of plain) expect(statSync(join(file.parentPath, file.name)).size).toBe(0);
  expect(await adopt()).toHaveLength(2);
});
