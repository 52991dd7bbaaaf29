/**
 * Frames and plans that are nearly right, against launcher and init built with address and undefined-behaviour
 * sanitizers: both live on and answer. A few hundred from a fixed seed here; `npm run fuzz` goes on for a minute
 * from a new seed, which it tells, and `npm run fuzz:init` until init was told a million.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NATIVE } from '../../src/base/checkout.ts';
import { encodeFrame } from '../../src/jail/frames.ts';
import { InitClient } from '../../src/jail/init-client.ts';
import { startLauncher } from '../../src/jail/start-launcher.ts';
import { TAG, VERB } from '../../src/jail/wire.ts';
import { forget, launch, logLines, socketOf } from '../support/jail.ts';
import { type Dice, dice, randomFrame, randomLaunch } from '../support/random-frames.ts';
import { type RawPeer, rawPeer } from '../support/raw-peer.ts';
import { patienceMs } from '../support/slowness.ts';
import { until } from '../support/wait.ts';
import { type World, world } from '../support/world.ts';

const SECONDS = Number(process.env.FUZZ_SECONDS ?? 0);
const MESSAGES = Number(process.env.FUZZ_MESSAGES ?? 0);
const SEED = SECONDS + MESSAGES > 0 ? Date.now() % 2 ** 31 : 20_240_607;
/** For a message 5 ms. */
const TIMEOUT_MS = patienceMs(60_000 + SECONDS * 1000 + MESSAGES * 5);
const AT_ONCE = MESSAGES > 0 ? 200 : 20;
const FRAMES = 400;
const LAUNCHES = 60;
const { SIGKILL } = constants.signals;

let w: World;

beforeAll(async () => {
  execFileSync(process.execPath, [join(NATIVE, '../../scripts/build.mjs'), '--sanitize']);
  w = await world();
  w.tinyDistro();
  const nativeDirectory = join(w.directory, 'native');
  mkdirSync(nativeDirectory);
  copyFileSync(join(NATIVE, 'emperor-init-asan'), join(nativeDirectory, 'emperor-init'));
  // The world's own launcher is then the one that runs.
  const { client } = await startLauncher({ ...w.launcherSetting, nativeDirectory });
  client.close();
  await w.launcher();
});
afterAll(async () => {
  // A sanitizer says there what it found in the launcher.
  const said = readFileSync(join(w.paths.log, 'launcher.log'), 'utf8');
  await w.close();
  expect(said).toBe('');
});

/** Runs `step` `count` times, or for as many seconds as were asked for. */
async function repeat(count: number, step: (index: number) => Promise<void>): Promise<void> {
  const until = performance.now() + (SECONDS * 1000) / 3;
  for (let i = 0; SECONDS > 0 ? performance.now() < until : i < count; i++) await step(i);
}

/** Sends in pieces that do not care where a frame ends. */
function sendInPieces(roll: Dice, peer: RawPeer, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    const size = roll.once(3) ? 1 + roll.below(20) : bytes.length;
    peer.sendBytes(bytes.subarray(at, at + size));
    at += size;
  }
}

/** One connection's worth of frames, and how many of them were sent to somebody who had not hung up yet. */
async function session(roll: Dice, path: string, without: readonly number[]): Promise<number> {
  const peer = await rawPeer(path);
  let [sent, heard] = [0, 0];
  for (let left = 1 + roll.below(AT_ONCE); left > 0; left--) {
    const { bytes, isLast } = randomFrame(roll, without);
    sendInPieces(roll, peer, bytes);
    sent++;
    if (isLast) break;
    if (sent % 20 !== 0) continue;
    await turn();
    // Where it was dropped meanwhile, nobody knows how many were heard.
    if (peer.isClosed()) return heard;
    heard = sent;
  }
  await turn();
  if (!peer.isClosed()) heard = sent;
  if (roll.once(2)) peer.socket.end();
  else peer.close();
  return heard;
}

test(`an init lives through frames of every kind (seed ${SEED})`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const roll = dice(SEED);
  const jail = await launch(w, w.plan('frames', { logMaxBytes: 65536 }));
  const socket = socketOf(w, 'frames');
  let sent = 0;
  const talk = async () => {
    sent += await session(roll, socket, [VERB.STOP]);
    const client = await InitClient.connect(socket);
    expect((await client.hello()).name).toBe('frames');
    client.close();
  };
  if (MESSAGES === 0) await repeat(FRAMES / 10, talk);
  while (sent < MESSAGES) await talk();
  // It still does its work, and its log is what it should be.
  const peer = await InitClient.connect(socket);
  const entries = await peer.list();
  for (const { slot, state } of entries) if (state === 'running') await peer.signal(slot, SIGKILL);
  logLines(w.logOf('frames'));
  await peer.stop({ graceMs: 0 });
  expect(await jail.ended).toMatchObject({ status: 0 });
  peer.close();
  jail.init.close();
  await forget(w, 'frames', jail.pid);
});

test(`a launcher lives through frames of every kind (seed ${SEED})`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const roll = dice(SEED + 1);
  const { client } = await w.launcher();
  const { pid } = await client.hello();
  const socket = join(w.paths.run, 'launcher.sock');
  await repeat(FRAMES / 10, async () => {
    await session(roll, socket, [VERB.QUIT, VERB.LAUNCH]);
    expect((await client.hello()).pid).toBe(pid);
  });
});

test(`plans of every kind are refused or carried out (seed ${SEED})`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const roll = dice(SEED + 2);
  const { client } = await w.launcher();
  const { pid: launcher } = await client.hello();
  const peer = await rawPeer(join(w.paths.run, 'launcher.sock'));
  await repeat(LAUNCHES, async (index) => {
    const name = `plan${index}`;
    const fields = randomLaunch(roll, w.plan(name));
    const id = index + 1;
    peer.sendBytes(encodeFrame({ verb: VERB.LAUNCH, id, fields }));
    const answer = await peer.next(`an answer to ${name}`, (frame) => frame.id === id);
    expect([VERB.LAUNCHED, VERB.ERROR]).toContain(answer.verb);
    if (answer.verb === VERB.LAUNCHED) await passGate(name, answer.fields.number(TAG.PID));
    await clear(name);
    expect((await client.hello()).pid).toBe(launcher);
  });
  peer.close();
});

/** Goes as far with it as that plan allows. */
async function passGate(name: string, pid: number): Promise<void> {
  const init = await InitClient.connect(socketOf(w, name)).catch(() => null);
  if (init) {
    await init.go().catch(() => {});
    const request = {
      slot: 1,
      kind: 'exec',
      label: 'x',
      argv: ['/bin/says', 'x'],
      env: [],
      cwd: '/',
    };
    await init.start(request).catch(() => {});
    await init.hello().catch(() => {});
    init.close();
  }
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** Every init ended by its own will or ours, never by a sanitizer's. */
async function clear(name: string): Promise<void> {
  const { client } = await w.launcher();
  const child = await until(`${name} has ended`, async () =>
    (await client.list()).find((one) => one.name === name && one.state === 'ended'),
  );
  expect([0, 1 << 8, SIGKILL]).toContain(child.exit?.status);
  await forget(w, name, child.pid);
}
