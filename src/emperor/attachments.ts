/**
 * Which vassals are to be attached to the router, with which addresses and rules; that each router knows it, the next one
 * as well. An init that is frozen or hangs delays nobody: it is asked until it answers.
 */
import { type Clock, delay } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { isSameAddress } from '../firewall/address.ts';
import type { DeviceRule } from '../firewall/rule.ts';
import type { Addresses } from '../network/address-pool.ts';
import type { RouterClient } from '../router/client.ts';
import type { AttachRequest, PeerReport } from '../router/protocol.ts';
import type { RouterKeeper } from './router-keeper.ts';

/** A vassal that could not be attached to a new router is tried again after this long. */
const RETRY_MS = 500;

export class Attachments {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #tell: RouterKeeper['tell'];
  /** What should be attached, by name. */
  readonly #specs = new Map<string, AttachRequest>();
  /** Names of those that are asked until they are attached. */
  readonly #pending = new Set<string>();
  /** Names whose totals the router is still to forget. */
  readonly #forgotten = new Set<string>();

  constructor(options: {
    readonly clock: Clock;
    readonly log: Log;
    readonly tell: RouterKeeper['tell'];
  }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#tell = options.tell;
  }

  has(name: string): boolean {
    return this.#specs.has(name);
  }

  /** Attaches a vassal to the router that runs; each later one does so, too. Throws what the router says. */
  async attach(client: RouterClient, spec: AttachRequest): Promise<void> {
    this.#pending.delete(spec.name);
    this.#specs.set(spec.name, spec);
    try {
      await client.call('attach', spec);
    } catch (error) {
      if (this.#specs.get(spec.name) === spec) this.#specs.delete(spec.name);
      throw error;
    }
  }

  /** A vassal has ended: as long as its device is held, its network namespace is. */
  detach(name: string): void {
    if (!this.#specs.delete(name)) return;
    void this.#tell((client) => client.call('detach', { name }));
  }

  /** Resolves when the rules are in force, unless a new router is on its way. */
  async setRules(name: string, rules: readonly DeviceRule[]): Promise<void> {
    const spec = this.#specs.get(name);
    if (!spec || isSame(spec.rules, rules)) return;
    this.#specs.set(name, { ...spec, rules });
    await this.#tell((client) => client.call('rules', { name, rules }));
  }

  /** Has the totals of a vassal forgotten. */
  forget(name: string): void {
    this.#specs.delete(name);
    this.#forgotten.add(name);
    void this.#tell((client) => this.#forgetOne(client, name));
  }

  /** Has the router forget what none was there to forget. */
  async forgetAll(client: RouterClient): Promise<void> {
    for (const name of [...this.#forgotten]) await this.#forgetOne(client, name);
  }

  /**
   * Takes over what an earlier emperor attached: what `specOf` names of the vassals of `running` stays as it is,
   * others go. Where there is no router, the next one attaches those that run.
   */
  async adopt<Running extends { readonly name: string }>(
    running: readonly Running[],
    specOf: (one: Running, peer: PeerReport | undefined) => AttachRequest | undefined,
  ): Promise<void> {
    let known: ReadonlyMap<string, PeerReport> = new Map();
    await this.#tell(async (client) => {
      known = await knownTo(client);
    });
    for (const one of running) {
      const spec = specOf(one, known.get(one.name));
      if (spec) this.#specs.set(spec.name, spec);
    }
    await this.#tell(async (client) => {
      const gone = [...known.keys()].filter((name) => !this.has(name));
      for (const name of gone) await client.call('detach', { name });
      await this.attachMissing(client);
    });
  }

  /** Begins to attach whom the router does not know, all at once; returns the attempts, which may take for ever. */
  async attachMissing(client: RouterClient): Promise<readonly Promise<void>[]> {
    const known = await knownTo(client);
    return [...this.#specs.values()]
      .filter((spec) => !isAttached(spec, known.get(spec.name)))
      .map(({ name }) => this.#attachUntilDone(client, name));
  }

  async #attachUntilDone(client: RouterClient, vassal: string): Promise<void> {
    this.#pending.add(vassal);
    for (let attempt = 1; this.#pending.has(vassal); attempt += 1) {
      const spec = this.#specs.get(vassal);
      if (!spec) break;
      try {
        await client.call('attach', spec);
        if (attempt > 1) this.#log.info({ vassal, attempt }, 'it is attached to the router now');
        break;
      } catch (error) {
        // A router that has ended is replaced, and its successor is told all.
        if (client.isClosed) return;
        const text = 'it cannot be attached to the router, trying until it can';
        if (attempt === 1) this.#log.warn({ vassal, error: messageOf(error) }, text);
        await delay(this.#clock, RETRY_MS);
      }
    }
    this.#pending.delete(vassal);
  }

  /** A name stays among the forgotten until the router has it forgotten. */
  async #forgetOne(client: RouterClient, name: string): Promise<void> {
    await client.call('forget', { name });
    this.#forgotten.delete(name);
  }
}

async function knownTo(client: RouterClient): Promise<ReadonlyMap<string, PeerReport>> {
  return new Map((await client.call('peers', null)).map((peer) => [peer.name, peer]));
}

function isAttached(spec: AttachRequest, peer: PeerReport | undefined): boolean {
  return (
    peer?.gone === null &&
    isSameHolding(spec.address4, peer.address4) &&
    isSameHolding(spec.address6, peer.address6) &&
    isSame(spec.rules, peer.rules)
  );
}

function isSameHolding(a: Addresses['address'], b: Addresses['address']): boolean {
  return a === null || b === null ? a === b : isSameAddress(a, b);
}

function isSame(a: readonly DeviceRule[], b: readonly DeviceRule[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
