// The world of the network's figures: one emperor with two vassals, and beside its router three peers between the very
// same namespaces: kernel veth pairs, the tuntap router of Debian's uwsgi-core with a client in each vassal's
// namespace, and programs/bare-router.c, which copies packets from tun to tun and does nothing else. Tools are run in
// the namespaces from outside, so no tenant's limits stand between.
//
//     world ──up0── host ──emperor0── router ──uwsgi0── a, b        what is measured
//                   host ──veth── a, host ──veth── b, a ──veth── b  the kernel's own
//                   host ──uwsgiemp0── uWSGI ──uwsgi1── a, b        uWSGI's, where it is installed
//                   host ──bare0── bare-router ──bare0── a, b       what copying allows
import { execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { networkOf, parseCidr } from '../dist/firewall/prefix.js';
import { RouterClient } from '../dist/router/client.js';
import { COLUMN, COLUMNS } from '../dist/router/counters.js';
import { MAX_PEERS } from '../dist/router/forwarding.js';
import { isInstalled } from './uwsgi.mjs';
import { until, World } from './world.mjs';

const NOBODY = 65_534;
const OURS = { host: '10.203.0.1', a: '10.203.0.2', b: '10.203.0.3', world: '198.51.100.2' };
const OURS6 = { host: 'fd00:203::1', a: 'fd00:203::2', b: 'fd00:203::3' };
const UWSGI = { host: '10.205.0.1', a: '10.205.0.2', b: '10.205.0.3', world: '198.51.100.4' };
const BARE = { host: '10.206.0.1', a: '10.206.0.2', b: '10.206.0.3', world: '198.51.100.5' };
const VASSALS = ['a', 'b'];

/** An address of `to` as each way leads there; veth pairs have networks of their own, so the end counts. */
const VETH = {
  'a b': '10.204.0.2',
  'host a': '10.204.1.2',
  'a host': '10.204.1.1',
  'a world': '198.51.100.3',
};

/** Four ways between the namespaces `host`, `a`, `b` and `world`: returns the address that leads to `to`. */
export const WAYS = {
  ours: (_from, to) => OURS[to],
  veth: (from, to) => VETH[`${from} ${to}`],
  uwsgi: (_from, to) => UWSGI[to],
  bare: (_from, to) => BARE[to],
};
/** The same by IPv6, between the two vassals. */
export const WAYS6 = { ours: () => OURS6.b, veth: () => 'fd00:204::2' };

function networkOfHost(text) {
  const cidr = parseCidr({ text, offset: 0 });
  return { prefix: networkOf(cidr), host: cidr.address };
}

const isRunning = (program) =>
  program !== undefined && program.exitCode === null && program.signalCode === null;

export class NetworkWorld extends World {
  constructor() {
    super();
    this.outside = `${this.netns}-world`;
    this.programs = new Set();
    // After a Ctrl-C, too.
    process.once('exit', () => {
      for (const { pid } of this.programs) process.kill(-pid, 'SIGKILL');
    });
    /** uWSGI's processes by namespace; none where it is not installed. */
    this.uwsgi = {};
    appendFileSync(
      this.ini,
      `tuntap-router = emperor0 ${join(this.run, 'tuntap')}
tuntap-router-address = ${OURS.host}/16
tuntap-router-address6 = ${OURS6.host}/64
nat = up0
`,
    );
  }

  /** `isAlone`: without the peers. */
  async open({ isAlone = false } = {}) {
    this.#makeOutside();
    await this.start();
    for (const name of VASSALS) {
      this.write(
        name,
        `[vassal]
command = /opt/sleep
tuntap-device = uwsgi0
address = ${OURS[name]}
address6 = ${OURS6[name]}
`,
      );
    }
    await this.untilRunning(VASSALS.length);
    this.pids = {};
    for (const name of VASSALS) this.pids[name] = (await this.ask(`/v1/vassals/${name}`)).pid;
    this.router = await RouterClient.connect(join(this.run, 'router.sock'));
    this.routerPid = (await this.router.call('about', null)).pid;
    await this.#answers('a', OURS.b, OURS.a);
    if (isAlone) return;
    this.#joinByVeth();
    await this.#startBareRouter();
    if (isInstalled()) await this.#startUwsgi();
  }

  /** The command that runs something in a namespace. */
  within(place, command) {
    if (place === 'host') return ['ip', 'netns', 'exec', this.netns, ...command];
    if (place === 'world') return ['ip', 'netns', 'exec', this.outside, ...command];
    return ['nsenter', `--net=/proc/${this.pids[place]}/ns/net`, '--', ...command];
  }

  /** Runs something in a namespace to its end and returns what it prints. */
  async printedBy(place, command) {
    return (await this.ending(place, command)).output;
  }

  /** The same, with its status. */
  ending(place, command) {
    const program = this.begin(place, command);
    return new Promise((done) =>
      program.once('close', (status) => done({ status, output: program.text })),
    );
  }

  /** Starts something in a namespace; `text` is what it has said. */
  begin(place, command) {
    const [file, ...args] = this.within(place, command);
    // In a group of its own: uWSGI's router is a child of what is started.
    const program = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    program.text = '';
    this.programs.add(program);
    program.once('close', () => this.programs.delete(program));
    for (const stream of [program.stdout, program.stderr]) {
      stream.on('data', (chunk) => {
        program.text += chunk;
      });
    }
    return program;
  }

  /** Ends what begin() started, with its children. */
  async end(program) {
    const hasEnded = !isRunning(program);
    const ended = new Promise((done) => program.once('exit', done));
    try {
      process.kill(-program.pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
    if (!hasEnded) await ended;
  }

  /**
   * What the packets' thread, which is the one that has computed most, has done until now: nanoseconds of cpu, and
   * packets and bytes that it has forwarded. All of it is read at once: no answer of the router's has to be awaited.
   */
  routerWork() {
    const tasks = `/proc/${this.routerPid}/task`;
    const spentBy = (task) =>
      Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]);
    const cpuNs = Math.max(...readdirSync(tasks).map(spentBy));
    const counters = this.#counters();
    const total = (column) =>
      counters.reduce((sum, count, at) => (at % COLUMNS === column ? sum + count : sum), 0);
    const atMs = performance.now();
    return { atMs, cpuNs, packets: total(COLUMN.rxPackets), bytes: total(COLUMN.rxBytes) };
  }

  /** The rows of the host and the vassals, which are the first of all that the router's ledger ends with. */
  #counters() {
    const counters = new Float64Array((VASSALS.length + 1) * COLUMNS);
    const ledger = openSync(join(this.directory, 'state/traffic.ledger'));
    const all = MAX_PEERS * COLUMNS * counters.BYTES_PER_ELEMENT;
    readSync(ledger, counters, 0, counters.byteLength, fstatSync(ledger).size - all);
    closeSync(ledger);
    return counters;
  }

  /** Gives the router other chains; emperor.ini itself takes 64 KB at most. */
  async setChains(chains) {
    await this.router.call('firewall', {
      chains,
      network4: networkOfHost(`${OURS.host}/16`),
      network6: networkOfHost(`${OURS6.host}/64`),
    });
  }

  async close() {
    this.router?.close();
    for (const program of [...this.programs]) await this.end(program);
    await super.close();
    execFileSync('ip', ['netns', 'del', this.outside]);
  }

  #ip(place, ...args) {
    const [file, ...rest] = this.within(place, ['ip', ...args]);
    execFileSync(file, rest);
  }

  #makeOutside() {
    execFileSync('ip', ['netns', 'add', this.outside]);
    for (const place of ['host', 'world']) this.#ip(place, 'link', 'set', 'lo', 'up');
    this.#ip(
      'host',
      'link',
      'add',
      'up0',
      'type',
      'veth',
      'peer',
      'name',
      'up0',
      'netns',
      this.outside,
    );
    this.#ip('host', 'addr', 'add', '198.51.100.1/24', 'dev', 'up0');
    for (const last of [2, 3, 4, 5]) {
      this.#ip('world', 'addr', 'add', `198.51.100.${last}/24`, 'dev', 'up0');
    }
    for (const place of ['host', 'world']) this.#ip(place, 'link', 'set', 'up0', 'up');
    this.#ip('host', 'route', 'add', 'default', 'via', '198.51.100.2');
  }

  /** Joins the namespaces by kernel, and has the host masquerade for that and for uWSGI's. */
  #joinByVeth() {
    const pairs = [
      { ends: ['a', 'b'], prefix: '10.204.0', prefix6: 'fd00:204::' },
      { ends: ['host', 'a'], prefix: '10.204.1' },
    ];
    for (const { ends, prefix, prefix6 } of pairs) {
      const [one, other] = ends;
      const names = [`to-${other}`, `to-${one}`];
      const pair = ['link', 'add', names[0], 'type', 'veth', 'peer', 'name', names[1]];
      this.#ip(one, ...pair, 'netns', `${this.pids[other]}`);
      for (const [index, end] of ends.entries()) {
        this.#ip(end, 'addr', 'add', `${prefix}.${index + 1}/24`, 'dev', names[index]);
        const nodad = ['dev', names[index], 'nodad'];
        if (prefix6) this.#ip(end, 'addr', 'add', `${prefix6}${index + 1}/64`, ...nodad);
        this.#ip(end, 'link', 'set', names[index], 'up');
      }
    }
    this.#ip('a', 'route', 'add', WAYS.veth('a', 'world'), 'via', '10.204.1.1');
    const [file, ...args] = this.within('host', ['nft', '-f', '-']);
    execFileSync(file, args, {
      input: `table ip bench {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		ip saddr { 10.204.1.0/24, 10.205.0.0/24, 10.206.0.0/24 } oifname "up0" masquerade
	}
}
`,
    });
  }

  /** With devices like those of our own router. */
  async #startBareRouter() {
    const places = ['host', ...VASSALS];
    const device = 'bare0';
    const namespaces = [
      `/run/netns/${this.netns}`,
      ...VASSALS.map((name) => `/proc/${this.pids[name]}/ns/net`),
    ];
    const devices = namespaces.map((namespace) => `${namespace}=${device}`);
    const router = this.begin('host', [join(this.opt, 'bare-router'), ...devices]);
    await until(() => router.text === 'ready\n' || !isRunning(router), 'the bare router is ready');
    for (const place of places) {
      const ours = place === 'host' ? 'emperor0' : 'uwsgi0';
      const [{ mtu, txqlen }] = JSON.parse(
        await this.printedBy(place, ['ip', '-json', 'link', 'show', ours]),
      );
      this.#ip(place, 'link', 'set', device, 'mtu', `${mtu}`, 'txqueuelen', `${txqlen}`, 'up');
      this.#ip(place, 'addr', 'add', `${BARE[place]}/24`, 'dev', device);
    }
    this.#ip('a', 'route', 'add', BARE.world, 'dev', device);
    await this.#answers('a', BARE.host, BARE.a);
  }

  async #startUwsgi() {
    await this.#beginUwsgi('host', [
      `tuntap-router = uwsgiemp0 ${join(this.directory, 'uwsgi-tuntap')}`,
      `exec-as-root = ifconfig uwsgiemp0 ${UWSGI.host} netmask 255.255.255.0 up`,
    ]);
    // To its router IPv6 is an IPv4 packet from 0.0.0.0, for which it closes the connection.
    const noIpv6 = ['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1'];
    for (const name of VASSALS) await this.printedBy(name, noIpv6);
    await this.mendUwsgi();
  }

  /** Starts the clients that uWSGI's router has dropped, which then end; returns how many. */
  async mendUwsgi() {
    const missing = VASSALS.filter((name) => !isRunning(this.uwsgi[name]));
    for (const name of missing) {
      await this.#beginUwsgi(name, [
        `tuntap-device = uwsgi1 ${join(this.directory, 'uwsgi-tuntap')}`,
        `exec-as-root = ifconfig uwsgi1 ${UWSGI[name]} netmask 255.255.255.0 up`,
        `exec-as-root = route add -host ${UWSGI.world} gw ${UWSGI.host}`,
      ]);
    }
    return missing.length;
  }

  async #beginUwsgi(place, lines) {
    const home = join(this.directory, `uwsgi-${place}`);
    mkdirSync(home, { recursive: true });
    chownSync(home, NOBODY, NOBODY);
    const file = `${home}.ini`;
    writeFileSync(
      file,
      `[uwsgi]
plugin = tuntap
jailed = true
uid = ${NOBODY}
gid = ${NOBODY}
socket = ${join(home, 'uwsgi.sock')}
${lines.join('\n')}
`,
    );
    this.uwsgi[place] = this.begin(place, ['uwsgi-core', file]);
    // From its own address, since our router would answer, too.
    await this.#answers(place, UWSGI.host, UWSGI[place]);
  }

  /** Until `address` answers pings from the address `own`. */
  async #answers(place, address, own) {
    const ping = ['ping', '-n', '-c', '1', '-W', '1', '-I', own, address];
    const isAnswered = async () => (await this.ending(place, ping)).status === 0;
    await until(isAnswered, `${address} answers ${place}`, 20_000, 100).catch((error) => {
      throw new Error(
        `${error.message}\n${Object.values(this.uwsgi)
          .map(({ text }) => text)
          .join('\n')}`,
      );
    });
  }
}
