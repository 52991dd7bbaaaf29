/**
 * The host's device (`emperor0`). The launcher keeps its descriptor by name, so that the device, with its addresses,
 * its routes and whatever an operator has added, outlives routers and emperors. A second name tells that it is new,
 * until the emperor has said that it has done what is to be done once.
 */
import { closeSync } from 'node:fs';
import type { Patience } from '../jail/ask-for-descriptor.ts';
import { dropDescriptor, getDescriptor, putDescriptor } from '../jail/kept-descriptors.ts';
import { setFeature } from '../linux/ethtool.ts';
import { createTun } from '../linux/tun.ts';

export class HostTun {
  readonly fd: number;
  readonly #device: string;
  readonly #launcher: string;
  readonly #patience: Patience;
  #isNew: boolean;

  /** Fetches the device from the launcher at that socket, or makes it in this process's network namespace. */
  static async open(device: string, launcher: string, patience: Patience): Promise<HostTun> {
    const place = { device, launcher, patience };
    const kept = await getDescriptor(launcher, nameOf(device), patience);
    if (kept === null) {
      const tun = new HostTun(createTun({ name: device, offload: 0 }), true, place);
      // Else what a network card has merged from packets of one id is cut up again on its way to us.
      setFeature(device, 'tx-tcp-mangleid-segmentation', true);
      await putDescriptor(launcher, { name: newNameOf(device), fd: tun.fd }, patience);
      await tun.keep();
      return tun;
    }
    const mark = await getDescriptor(launcher, newNameOf(device), patience);
    if (mark !== null) closeSync(mark);
    return new HostTun(kept, mark !== null, place);
  }

  private constructor(
    fd: number,
    isNew: boolean,
    place: { readonly device: string; readonly launcher: string; readonly patience: Patience },
  ) {
    this.fd = fd;
    this.#isNew = isNew;
    this.#device = place.device;
    this.#launcher = place.launcher;
    this.#patience = place.patience;
  }

  /** Has the launcher, which may be a new one, keep it. */
  async keep(): Promise<void> {
    await putDescriptor(
      this.#launcher,
      { name: nameOf(this.#device), fd: this.fd },
      this.#patience,
    );
  }

  /** True from its creation until it is settled, whichever routers and emperors come and go meanwhile. */
  get isNew(): boolean {
    return this.#isNew;
  }

  /** What is to be done once for a new device has been done. */
  async settle(): Promise<void> {
    this.#isNew = false;
    await dropDescriptor(this.#launcher, newNameOf(this.#device), this.#patience);
  }

  /** Lets the device go once its descriptors here are closed, too. */
  async drop(): Promise<void> {
    await this.settle();
    await dropDescriptor(this.#launcher, nameOf(this.#device), this.#patience);
  }
}

const nameOf = (device: string) => `tun ${device}`;
const newNameOf = (device: string) => `new tun ${device}`;
