/**
 * A router of uWSGI vassals in a network namespace that plays the host, with unmodified uWSGI vassals of Debian in
 * namespaces of their own, and clients that speak uWSGI's protocol by hand. close() removes all of it.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { promisify } from 'node:util';
import { isErrno } from '../../src/base/errors.ts';
import { Scope } from '../../src/base/scope.ts';
import type { AddressOwner } from '../../src/router/uwsgi-claims.ts';
import type { UwsgiStats } from '../../src/router/uwsgi-router.ts';
import { until } from './wait.ts';

export const GATEWAY = '10.99.0.1';
/** What uWSGI becomes. */
export const NOBODY = 65_534;

const run = promisify(execFile);
let count = 0;

export interface RouterOptions {
  readonly socketMode?: number;
  readonly owners?: readonly AddressOwner[];
  /** Most descriptors that the process may have. */
  readonly openFiles?: number;
}

export interface RouterReport extends UwsgiStats {
  readonly owned: readonly AddressOwner[];
  /** What was said of the device's end. */
  readonly gone: readonly string[];
  readonly rssBytes: number;
  /** Microseconds. */
  readonly cpu: { readonly user: number; readonly system: number };
}

export class UwsgiWorld {
  readonly directory: string;
  readonly socketPath: string;
  readonly host: string;
  readonly #scope = new Scope();
  readonly #id: string;
  #vassals = 0;
  #routers = 0;

  /** `socketPath`: of a router that runs elsewhere, for its vassals. */
  constructor(socketPath?: string) {
    count += 1;
    this.#id = `uwsgi-test-${process.pid}-${count}`;
    this.directory = this.#scope.add(mkdtempSync(join(tmpdir(), 'uwsgi-world-')), (path) =>
      rmSync(path, { recursive: true, force: true }),
    );
    // Others than root come to the socket in some tests.
    chmodSync(this.directory, 0o711);
    this.socketPath = socketPath ?? join(this.directory, 'router.sock');
    this.host = this.#namespace('host');
  }

  /** Starts a router and gives its device the address 10.99.0.1/24. */
  async startRouter(options: RouterOptions = {}): Promise<TestRouter> {
    const { openFiles, ...setting } = options;
    this.#routers += 1;
    const device = `uwsgiemp${this.#routers}`;
    const argument = JSON.stringify({
      device,
      address: `${GATEWAY}/24`,
      socketPath: this.socketPath,
      ...setting,
    });
    const program = join(import.meta.dirname, 'uwsgi-router.mjs');
    const limit = openFiles === undefined ? [] : ['prlimit', `--nofile=${openFiles}`];
    const process = spawn('ip', ['netns', 'exec', this.host, ...limit, 'node', program, argument], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const router = new TestRouter(process);
    this.#scope.add(router, (started) => started.kill());
    await router.isReady();
    this.#inHost('ip', 'addr', 'add', `${GATEWAY}/24`, 'dev', device);
    this.#inHost('ip', 'link', 'set', device, 'up');
    return router;
  }

  /** Starts uWSGI as Debian ships it, with a tuntap device that has `address`; more lines of its file may follow. */
  startVassal(address: string, lines: readonly string[] = []): UwsgiVassal {
    this.#vassals += 1;
    const name = `v${this.#vassals}`;
    const home = join(this.directory, name);
    mkdirSync(home);
    chownSync(home, NOBODY, NOBODY);
    const file = join(this.directory, `${name}.ini`);
    const text = `[uwsgi]
plugin = tuntap
jailed = true
uid = ${NOBODY}
gid = ${NOBODY}
socket = ${join(home, 'uwsgi.sock')}
tuntap-device = uwsgi0 ${this.socketPath}
exec-as-root = ifconfig uwsgi0 ${address} netmask 255.255.255.0 up
exec-as-root = route add default gw ${GATEWAY}
${lines.join('\n')}
`;
    writeFileSync(file, text);
    const netns = this.#namespace(name);
    return this.#scope.add(new UwsgiVassal(netns, file), (vassal) => vassal.kill());
  }

  /** Connects as root, as uWSGI does. */
  connect(): Promise<RawClient> {
    return until('the router takes a connection', () => this.#tryToConnect());
  }

  /** Undefined where too many wait: libuv does not wait among them, as uWSGI does. */
  async #tryToConnect(): Promise<RawClient | undefined> {
    const socket = connect(this.socketPath);
    try {
      await once(socket, 'connect');
      return this.#scope.add(new RawClient(socket), (open) => open.destroy());
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) return undefined;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#scope.close();
  }

  #namespace(name: string): string {
    const netns = `${this.#id}-${name}`;
    execFileSync('ip', ['netns', 'add', netns]);
    return this.#scope.add(netns, (made) => {
      execFileSync('ip', ['netns', 'del', made]);
    });
  }

  #inHost(...command: readonly string[]): void {
    execFileSync('ip', ['netns', 'exec', this.host, ...command]);
  }
}

/** Runs a program in a namespace and returns what it prints. */
export async function inNamespace(netns: string, ...command: readonly string[]): Promise<string> {
  return (await run('ip', ['netns', 'exec', netns, ...command])).stdout;
}

/** How many of `count` pings are answered; `interval` in seconds. */
export async function ping(
  netns: string,
  to: string,
  { count = 1, interval = 0.01 } = {},
): Promise<number> {
  const args = ['-n', '-c', `${count}`, '-i', `${interval}`, '-W', '1', to];
  const { stdout } = await run('ip', ['netns', 'exec', netns, 'ping', ...args]).catch(
    // It exits with 1 where no answer came.
    (error: { stdout: string }) => error,
  );
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

export class TestRouter {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #interface: Interface;

  constructor(process: ChildProcess) {
    if (!process.stdout) throw new Error('the router has no output');
    this.#process = process;
    this.#interface = createInterface({ input: process.stdout });
    this.#lines = this.#interface[Symbol.asyncIterator]();
  }

  async isReady(): Promise<void> {
    await this.#answer();
  }

  setChains(chains: { in: readonly string[]; out: readonly string[] }): Promise<RouterReport> {
    return this.#ask({ chains });
  }

  report(): Promise<RouterReport> {
    return this.#ask({ stats: true });
  }

  /** How many descriptors it has open. */
  countDescriptors(): number {
    return readdirSync(`/proc/${this.#process.pid}/fd`).length;
  }

  /** Ends its input, and resolves to its exit status. */
  async end(): Promise<number | null> {
    const ended = this.#ended();
    this.#process.stdin?.end();
    await ended;
    return this.#process.exitCode;
  }

  async kill(): Promise<void> {
    const ended = this.#ended();
    this.#process.kill('SIGKILL');
    await ended;
    this.#interface.close();
  }

  async #ask(request: unknown): Promise<RouterReport> {
    this.#process.stdin?.write(`${JSON.stringify(request)}\n`);
    return (await this.#answer()) as RouterReport;
  }

  async #answer(): Promise<unknown> {
    const { done, value } = await this.#lines.next();
    if (done) await this.#ended();
    if (done) throw new Error(`the router ended with ${this.#process.exitCode}`);
    return JSON.parse(value);
  }

  #ended(): Promise<void> {
    const { exitCode, signalCode } = this.#process;
    if (exitCode !== null || signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => this.#process.once('exit', () => resolve()));
  }
}

export class UwsgiVassal {
  readonly netns: string;
  readonly #process: ChildProcess;
  #output = '';

  constructor(netns: string, file: string) {
    this.netns = netns;
    this.#process = spawn('ip', ['netns', 'exec', netns, 'uwsgi-core', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-20_000);
      });
    }
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Until its device is there and the router answers. */
  async isConnected(): Promise<void> {
    const isAnswered = async () => (await ping(this.netns, GATEWAY)) > 0;
    await until('uWSGI is connected', isAnswered).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.#output}`);
    });
  }

  async kill(): Promise<void> {
    if (!this.isRunning) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await ended;
  }
}

/** A client that speaks the protocol by hand. */
export class RawClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    socket.on('close', () => {
      this.#isClosed = true;
    });
    // A reset is one of the ways to be disconnected.
    socket.on('error', () => {});
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Sends `packet` and waits until `count` frames in all have come back; returns their payloads. */
  async exchange(packet: Uint8Array, count = 1): Promise<readonly Buffer[]> {
    this.socket.write(frame(packet));
    return until('an answer comes', () => {
      const frames = framesIn(this.#received);
      return frames.length >= count && frames;
    });
  }

  forget(): void {
    this.#received = Buffer.alloc(0);
  }

  destroy(): void {
    this.socket.destroy();
  }
}

export function frame(payload: Uint8Array, mod2 = 0): Buffer {
  const header = Buffer.from([0, payload.length & 0xff, payload.length >> 8, mod2]);
  return Buffer.concat([header, payload]);
}

function framesIn(bytes: Buffer): readonly Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const end = at + 4 + bytes.readUInt16LE(at + 1);
    if (end > bytes.length) break;
    frames.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return frames;
}

/** An echo request as a whole IPv4 packet. */
export function echoRequest(source: string, destination: string, dataBytes = 8): Buffer {
  const packet = Buffer.alloc(28 + dataBytes);
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet[8] = 64;
  packet[9] = 1;
  packet.set(source.split('.').map(Number), 12);
  packet.set(destination.split('.').map(Number), 16);
  packet.writeUInt16BE(checksum(packet.subarray(0, 20)), 10);
  packet[20] = 8;
  packet.writeUInt16BE(checksum(packet.subarray(20)), 22);
  return packet;
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += at + 1 < bytes.length ? bytes.readUInt16BE(at) : (bytes[at] ?? 0) << 8;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
