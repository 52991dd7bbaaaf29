/**
 * The router as a process: what serves router.sock.
 *
 * Theory of operation. The control thread (this one) serves calls and fetches the tuns of vassals from their inits;
 * the packets' thread forwards. The host's device lives in the launcher's store as long as the launcher does, and the
 * vassals' tuns live in their inits. So a router that is killed loses nothing but the rules and who is attached, which
 * the emperor tells the next one. Calls about one vassal are served one after another, those about different ones at
 * the same time: a vassal whose init does not answer delays nobody.
 */
import { closeSync } from 'node:fs';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Patience } from '../jail/ask-for-descriptor.ts';
import { fetchTun } from '../jail/fetch-descriptor.ts';
import { setFeature } from '../linux/ethtool.ts';
import { Poller } from '../linux/poller.ts';
import { createTun, setOffload } from '../linux/tun.ts';
import { type Control, type Handlers, serveControl } from './control.ts';
import { DenialTotals } from './denial-totals.ts';
import { DenialsFile } from './denials-file.ts';
import { HostTun } from './host-tun.ts';
import { InitWatch } from './init-watch.ts';
import { type OpenLedger, openLedger } from './ledger.ts';
import { LoopThread } from './loop-thread.ts';
import type { LoopMessage, LoopReport } from './packet-loop.ts';
import type { PacketWorkerData } from './packet-worker.ts';
import { type AttachRequest, ROUTER_PROTOCOL, type RouterAbout } from './protocol.ts';
import { Router } from './router.ts';
import { offloadAll, type SelfTest, selfTest } from './self-test.ts';
import { UwsgiService } from './uwsgi-service.ts';

export interface RouterProcessSetting {
  readonly device: string;
  /** Path of router.sock. */
  readonly socket: string;
  /** Path of launcher.sock. */
  readonly launcher: string;
  /** Path of the ledger of totals. */
  readonly ledger: string;
  /** Path of the file with the totals of denials. */
  readonly denials: string;
  /** Hears what an operator should know, a line each. */
  readonly say: (line: string) => void;
  /** Has the kernel cut packets, whatever it could do. */
  readonly isPlain: boolean;
  /** Which code this is, for the emperor to compare. */
  readonly code: string;
  readonly clock: Clock;
}

/** An init that does not answer by then is not attached. */
const FETCH_DEADLINE_MS = 5000;
/** Packets wait in the devices no longer than this for the emperor to attach vassals. */
const HOLD_MS = 2000;
const UNTRIED: SelfTest = { mode: 'plain', reason: 'not tried yet' };
const TOLD_PLAIN: SelfTest = { mode: 'plain', reason: 'the operator says so' };

type PacketThread = LoopThread<LoopMessage, LoopReport>;

export interface PreparedRouter {
  /** Opens the host's device and serves. */
  begin(): Promise<void>;
  /** Lets go of everything; with that, the process ends. */
  abandon(): Promise<void>;
}

export class RouterProcess {
  readonly #setting: RouterProcessSetting;
  readonly #patience: Patience;
  readonly #hostTun: HostTun;
  readonly #thread: PacketThread;
  readonly #router: Router;
  readonly #denialsFile: DenialsFile;
  readonly #uwsgi: UwsgiService;
  readonly #inits: InitWatch;
  readonly #ledgerFault: string | null;
  readonly #queues = new Map<string, Promise<unknown>>();
  #packets: SelfTest = UNTRIED;
  /** What the kernel leaves to us, on all tuns alike. */
  #offload = 0;
  #control: Control | null = null;
  #isEnding = false;

  /** Loads what it needs, and touches nothing of the network yet. */
  static async prepare(setting: RouterProcessSetting): Promise<PreparedRouter> {
    const patience = {
      poller: Poller.start(),
      clock: setting.clock,
      deadlineMs: FETCH_DEADLINE_MS,
    };
    const opened = openLedger(setting.ledger);
    let hear: (report: LoopReport) => void = () => {};
    const thread: PacketThread = new LoopThread({
      worker: 'packet-worker',
      dataOf: (wake): PacketWorkerData => ({ wake, ledger: opened.place }),
      onReport: (report) => hear(report),
    });
    await thread.ready;
    const listen = (listener: typeof hear) => {
      hear = listener;
    };
    return {
      begin: () => RouterProcess.#start(setting, { patience, opened, thread, listen }),
      abandon: async () => {
        await Promise.all([patience.poller.close(), thread.end()]);
      },
    };
  }

  /** The process ends by the call `end`. */
  static async #start(
    setting: RouterProcessSetting,
    {
      patience,
      opened: { ledger, fault },
      thread,
      listen,
    }: {
      readonly patience: Patience;
      readonly opened: OpenLedger;
      readonly thread: PacketThread;
      readonly listen: (hear: (report: LoopReport) => void) => void;
    },
  ): Promise<void> {
    const { clock, device, launcher } = setting;
    if (fault !== null) setting.say(`${fault}; totals are lost when the router ends`);
    const hostTun = await HostTun.open(device, {
      ...{ launcher, patience },
      create: () => createHostTun(device),
    });
    const { denials: path, say } = setting;
    const denialsFile = new DenialsFile({ path, clock, say });
    const denials = new DenialTotals(denialsFile.read());
    const router = new Router({
      ledger,
      denials,
      tell: (message) => thread.tell(message),
      onHostGone: (why) => void self.#deviceGone(hostTun, why),
    });
    listen((report) => router.hear(report));
    router.attachHost(hostTun.fd);
    denialsFile.keep(() => denials.settle());
    const ownersFile = join(dirname(setting.ledger), 'uwsgi-owners.json');
    const uwsgi = new UwsgiService({
      ...{ launcher, patience, ownersFile, denials },
      onDeviceGone: (tun, why) => void self.#deviceGone(tun, why),
    });
    const self = new RouterProcess(setting, {
      ...{ patience, hostTun, thread, router, denialsFile, uwsgi, ledgerFault: fault },
    });
    self.#control = await serveControl(setting.socket, self.#handlers());
    // Its emperor may have been killed before it could say so.
    clock.after(HOLD_MS, () => router.begin());
  }

  private constructor(
    setting: RouterProcessSetting,
    parts: {
      readonly patience: Patience;
      readonly hostTun: HostTun;
      readonly thread: PacketThread;
      readonly router: Router;
      readonly denialsFile: DenialsFile;
      readonly uwsgi: UwsgiService;
      readonly ledgerFault: string | null;
    },
  ) {
    this.#setting = setting;
    this.#patience = parts.patience;
    this.#hostTun = parts.hostTun;
    this.#thread = parts.thread;
    this.#router = parts.router;
    this.#denialsFile = parts.denialsFile;
    this.#uwsgi = parts.uwsgi;
    this.#ledgerFault = parts.ledgerFault;
    this.#inits = new InitWatch(parts.patience.poller, (name) => this.#router.detach(name));
  }

  #handlers(): Handlers {
    const router = this.#router;
    return {
      hello: () => ({
        protocol: ROUTER_PROTOCOL,
        pid: process.pid,
        device: this.#setting.device,
        isNewDevice: this.#hostTun.isNew,
        code: this.#setting.code,
        ledgerFault: this.#ledgerFault,
      }),
      settled: () => this.#settle(),
      keep: () => nothing(this.#hostTun.keep()),
      firewall: (firewall) => {
        router.setFirewall(firewall);
        return nothing(this.#uwsgi.setChains(firewall.chains));
      },
      uwsgi: (devices) => nothing(this.#uwsgi.serve(devices)),
      attach: (request) => this.#inOrder(request.name, () => this.#attach(request)),
      begin: () => nothing(router.begin()),
      rules: ({ name, rules }) =>
        this.#inOrder(name, async () => nothing(router.setRules(name, rules))),
      detach: ({ name }) => this.#inOrder(name, async () => this.#detach(name)),
      forget: ({ name }) =>
        this.#inOrder(name, async () => {
          this.#detach(name);
          return nothing(router.forget(name));
        }),
      peers: () => router.peers(),
      about: () => this.#about(),
      status: () => ({
        ...this.#about(),
        traffic: router.traffic(),
        denials: router.denials(),
        uwsgi: this.#uwsgi.reports(),
      }),
      traffic: ({ name }) => router.trafficOf(name),
      judge: (questions) => questions.map(({ chain, packet }) => router.judge(chain, packet)),
      end: ({ andDevice }) => this.#end(andDevice),
    };
  }

  #about(): RouterAbout {
    return {
      pid: process.pid,
      device: this.#setting.device,
      packets: this.#packets,
      memoryBytes: process.memoryUsage.rss(),
      cpuSeconds: cpuSeconds(),
    };
  }

  /** Works off what concerns one vassal in the order in which it came. */
  #inOrder<T>(name: string, act: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(name) ?? Promise.resolve();
    const result = before.then(act);
    const settled = result.catch(() => {
      // Told to whoever asked.
    });
    this.#queues.set(name, settled);
    void settled.then(() => {
      if (this.#queues.get(name) === settled) this.#queues.delete(name);
    });
    return result;
  }

  async #settle(): Promise<SelfTest> {
    await this.#hostTun.settle();
    this.#packets = this.#setting.isPlain ? TOLD_PLAIN : selfTest(this.#hostTun.fd);
    if (this.#packets.mode === 'gso') this.#offload = offloadAll(this.#hostTun.fd, release());
    return this.#packets;
  }

  async #attach({ init, ...spec }: AttachRequest): Promise<null> {
    const fetched = await fetchTun(init, this.#patience);
    try {
      setOffload(fetched.fd, this.#offload);
      this.#router.attach(spec, fetched.fd);
    } catch (error) {
      closeSync(fetched.fd);
      closeSync(fetched.init);
      throw error;
    }
    this.#inits.watch(spec.name, fetched.init);
    return null;
  }

  #detach(name: string): null {
    this.#inits.forget(name);
    this.#router.detach(name);
    return null;
  }

  /** Somebody has removed a device of ours: the next router makes another, and the emperor sets it up. */
  async #deviceGone(tun: HostTun, why: string): Promise<void> {
    this.#setting.say(`The device ${tun.device} is gone (${why}); a new router makes it again`);
    await tun.drop();
    if (this.#isEnding) return;
    this.#isEnding = true;
    await this.#end(false);
  }

  async #end(andDevice: boolean): Promise<null> {
    await this.#uwsgi.close({ andDevices: andDevice });
    if (andDevice) await this.#hostTun.drop();
    this.#denialsFile.end(this.#router.denials());
    // After the answer has gone; with the last thing closed the process ends.
    this.#setting.clock.after(0, () => {
      this.#control?.close();
      this.#inits.close();
      this.#patience.poller.close();
      void this.#thread.end();
    });
    return null;
  }
}

function createHostTun(device: string): number {
  const fd = createTun({ name: device, offload: 0 });
  // Else what a network card has merged from packets of one id is cut up again on its way to us.
  setFeature(device, 'tx-tcp-mangleid-segmentation', true);
  return fd;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** What is done and answered by nothing. */
function nothing(done: Promise<unknown> | unknown): Promise<null> | null {
  return done instanceof Promise ? done.then(() => null) : null;
}
