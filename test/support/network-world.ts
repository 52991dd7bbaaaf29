/**
 * A host with a router, its vassals, and a world behind it: three kinds of places, each with an agent
 * (fixtures/network-agent.py) that sends, hears and asks there as a program would. The world is 203.0.113.2 and
 * 2001:db8::2, behind the host's eth0 (203.0.113.1, 2001:db8::1), and knows a way to the vassals, which routers of
 * the internet would not.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join, resolve } from 'node:path';
import { RouterClient } from '../../src/router/client.ts';
import type { Traffic } from '../../src/router/counters.ts';
import type { RouterStatus } from '../../src/router/protocol.ts';
import { type EmperorOptions, TestEmperor } from './emperor.ts';
import { until } from './wait.ts';

const AGENT = resolve(import.meta.dirname, '../fixtures/network-agent.py');

export const WORLD = '203.0.113.2';
export const WORLD6 = '2001:db8::2';
/** Of the world, too, beyond its first router. */
export const FAR = '198.51.100.1';
export const FAR6 = '2001:db8:1::1';
/** Where clouds keep credentials; in this world somebody has it. */
export const CLOUD = '169.254.169.254';
export const UPLINK = '203.0.113.1';
export const UPLINK6 = '2001:db8::1';

/** The host, the world, or the name of a vassal. */
export type Place = string;

/** What an agent can be told; see there. */
export interface Calls {
  send: {
    ask: { to: string; text: string; source?: string; count?: number; seconds?: number };
    answer: number;
  };
  get: { ask: { to: string; port?: number; timeout?: number }; answer: string };
  run: {
    ask: { argv: readonly string[]; timeout?: number };
    answer: { status: number; output: string };
  };
  heard: { ask: object; answer: readonly (readonly [text: string, from: string])[] };
  count_of: { ask: { text: string }; answer: number };
}

export class NetworkWorld {
  readonly emperor: TestEmperor;
  readonly #world: string;
  readonly #agents: ChildProcess[] = [];
  /** What all vassals see as /opt. */
  readonly opt: string;
  #packets = 0;

  /** The emperor is not started yet; `ini` has the router's keys. */
  constructor(options: (world: { readonly directory: string }) => EmperorOptions = () => ({})) {
    this.emperor = new TestEmperor();
    const { directory, netns } = this.emperor;
    this.opt = join(directory, 'opt');
    this.#world = `${netns}-w`;
    mkdirSync(this.opt);
    copyFileSync(AGENT, join(this.opt, 'agent.py'));
    mkdirSync(this.#etc, { recursive: true });
    writeFileSync(join(this.#etc, 'resolv.conf'), `nameserver ${WORLD}\n`);
    this.writeIni(options(this.emperor));
    this.#connect();
    this.#spawnAgent('host', netns);
    this.#spawnAgent('world', this.#world, [WORLD, WORLD6]);
  }

  writeIni({ ini = '', ...options }: EmperorOptions): void {
    this.emperor.writeIni({ ini: `opt = ${this.opt}\n${ini}`, ...options });
  }

  /** ip-netns(8): what is in it stands for what the host has in /etc. */
  get #etc(): string {
    return `/etc/netns/${this.emperor.netns}`;
  }

  /** The router's socket as the seed names one. */
  get routerSocket(): string {
    return join(this.emperor.directory, 'tuntap.socket');
  }

  /** Text of a file for a vassal that has an agent. */
  fileOf(name: string, lines = ''): string {
    return `[vassal]\ncommand = python3 /opt/agent.py ${name} /home/${name}/agent.sock\n${lines}\n`;
  }

  /** Applies a vassal's file and waits for its agent. */
  async vassal(name: string, lines = ''): Promise<void> {
    this.emperor.apply(name, this.fileOf(name, lines));
    await this.ready(name);
  }

  async ready(...places: readonly Place[]): Promise<void> {
    for (const place of places) {
      await until(`the agent of ${place} answers`, () =>
        this.tell(place, 'count_of', { text: '' }).then(
          () => true,
          () => false,
        ),
      );
    }
  }

  /** Has an agent do something; rejects with the text of its error, such as `ETIMEDOUT`. */
  tell<Call extends keyof Calls>(
    place: Place,
    call: Call,
    ask: Calls[Call]['ask'],
  ): Promise<Calls[Call]['answer']> {
    return new Promise((done, fail) => {
      const socket = createConnection(this.#socketOf(place));
      let text = '';
      socket.setEncoding('utf8');
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.once('error', fail);
      socket.once('end', () => {
        const { answer, error } = JSON.parse(text) as {
          answer: Calls[Call]['answer'];
          error?: string;
        };
        if (error === undefined) done(answer);
        else fail(new Error(error));
      });
      socket.write(`${JSON.stringify({ call, ...ask })}\n`);
    });
  }

  /** Runs a program at a place; in a vassal, as its tenant. */
  run(place: Place, ...argv: readonly string[]): Promise<Calls['run']['answer']> {
    return this.tell(place, 'run', { argv });
  }

  /** What the HTTP server there says, or the text of the error. */
  get(place: Place, to: string, { timeout = 2, port = 9000 } = {}): Promise<string> {
    return this.tell(place, 'get', { to, port, timeout }).catch((error: Error) => error.message);
  }

  /** Runs `ip` on the host. */
  ip(...args: readonly string[]): string {
    return execFileSync('ip', ['-n', this.emperor.netns, ...args], { encoding: 'utf8' });
  }

  /** Runs a program on the host, as root. */
  onHost(...command: readonly string[]): string {
    const args = ['netns', 'exec', this.emperor.netns, ...command];
    return execFileSync('ip', args, { encoding: 'utf8' });
  }

  /** Runs a program of the host's, as root, in the network namespace of a vassal. */
  inside(name: string, ...command: readonly string[]): string {
    const net = `--net=/proc/${this.emperor.status(name).pid}/ns/net`;
    return execFileSync('nsenter', [net, '--', ...command], { encoding: 'utf8' });
  }

  /** The address of a vassal as its own interface has it. */
  addressOf(name: string, family: 4 | 6 = 4): string {
    const shown = this.inside(name, 'ip', '-j', `-${family}`, 'addr', 'show', 'dev', 'uwsgi0');
    const [device] = JSON.parse(shown) as [{ addr_info: readonly [{ local: string }] }];
    return device.addr_info[0].local;
  }

  async routerStatus(): Promise<RouterStatus> {
    const client = await RouterClient.connect(join(this.emperor.directory, 'run/router.sock'));
    try {
      return await client.call('status', null);
    } finally {
      client.close();
    }
  }

  /**
   * Sends one datagram and waits for what becomes of it: `arrives`, or the rule that denied it, such as `out deny`.
   * Both at once, or twice, is an error. Nothing else may be under way.
   */
  async fateOf(packet: {
    readonly from: Place;
    readonly to: Place;
    readonly address: string;
    readonly source?: string;
  }): Promise<string> {
    const { from, to, address, source } = packet;
    const text = `packet ${++this.#packets}`;
    const before = await this.#denials();
    await this.tell(from, 'send', { to: address, text, ...(source ? { source } : {}) });
    const fate = await until(`one from ${from} to ${to} arrives or is denied`, async () => {
      const arrived = await this.tell(to, 'count_of', { text });
      const denied = [...(await this.#denials())].flatMap(([rule, count]) =>
        Array<string>(count - (before.get(rule) ?? 0)).fill(rule),
      );
      const fates = [...Array<string>(arrived).fill('arrives'), ...denied];
      return fates.length > 0 && fates;
    });
    return fate.join(' and ');
  }

  async #denials(): Promise<ReadonlyMap<string, number>> {
    const { denials } = await this.routerStatus();
    return new Map(denials.map(({ chain, rule, count }) => [`${chain} ${rule}`, count]));
  }

  async trafficOf(name: string): Promise<Traffic> {
    const traffic = (await this.routerStatus()).traffic[name];
    if (!traffic) throw new Error(`the router knows nothing of ${name}`);
    return traffic;
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) agent.kill('SIGKILL');
    try {
      await this.emperor.close();
    } finally {
      execFileSync('ip', ['netns', 'del', this.#world]);
      rmSync(this.#etc, { recursive: true });
    }
  }

  #socketOf(place: Place): string {
    const { directory } = this.emperor;
    return ['host', 'world'].includes(place)
      ? join(directory, `${place}.sock`)
      : join(directory, 'homes', place, 'agent.sock');
  }

  #connect(): void {
    const host = this.emperor.netns;
    const world = this.#world;
    const lines = [
      `netns add ${world}`,
      `-n ${host} link add eth0 type veth peer name eth0 netns ${world}`,
      `-n ${host} addr add ${UPLINK}/24 dev eth0`,
      `-n ${host} addr add ${UPLINK6}/64 dev eth0 nodad`,
      `-n ${host} link set eth0 up`,
      `-n ${world} link set lo up`,
      ...[`${FAR}/32`, `${FAR6}/128`, `${CLOUD}/32`].map(
        (address) => `-n ${world} addr add ${address} dev lo`,
      ),
      `-n ${world} addr add ${WORLD}/24 dev eth0`,
      `-n ${world} addr add ${WORLD6}/64 dev eth0 nodad`,
      `-n ${world} link set eth0 up`,
      `-n ${host} route add default via ${WORLD}`,
      `-n ${host} -6 route add default via ${WORLD6}`,
      ...['192.168.0.0/16', '10.0.0.0/8'].map(
        (net) => `-n ${world} route add ${net} via ${UPLINK}`,
      ),
      `-n ${world} -6 route add fd00::/8 via ${UPLINK6}`,
    ];
    for (const line of lines) execFileSync('ip', line.split(' '));
  }

  #spawnAgent(name: string, netns: string, answers: readonly string[] = []): void {
    const command = ['python3', AGENT, name, this.#socketOf(name), ...answers];
    const stdio = ['ignore', 'ignore', 'inherit'] as const;
    this.#agents.push(spawn('ip', ['netns', 'exec', netns, ...command], { stdio: [...stdio] }));
  }
}
