/**
 * A device of the host's (`emperor0`). The launcher keeps its descriptor by name, so that the device, with its addresses,
 * its routes and whatever an operator has added, outlives routers and emperors. A second name tells that it is new,
 * until the emperor has said that it has done what is to be done once.
 */
import { closeSync } from 'node:fs';
import type { Patience } from '../jail/ask-for-descriptor.ts';
import { dropDescriptor, getDescriptor, putDescriptor } from '../jail/kept-descriptors.ts';

export interface HostTunPlace {
  /** Path of launcher.sock. */
  readonly launcher: string;
  readonly patience: Patience;
  /** Makes the device, in this process's network namespace, where the launcher has none. */
  readonly create: () => number;
}

export class HostTun {
  readonly fd: number;
  /** Its name. */
  readonly device: string;
  readonly #launcher: string;
  readonly #patience: Patience;
  #isNew: boolean;

  /** Fetches the device from the launcher, or makes it. */
  static async open(device: string, place: HostTunPlace): Promise<HostTun> {
    const { launcher, patience, create } = place;
    const fd = await getDescriptor(launcher, nameOf(device), patience);
    if (fd === null) {
      const tun = new HostTun(device, { fd: create(), isNew: true, place });
      await putDescriptor(launcher, { name: newNameOf(device), fd: tun.fd }, patience);
      await tun.keep();
      return tun;
    }
    const mark = await getDescriptor(launcher, newNameOf(device), patience);
    if (mark !== null) closeSync(mark);
    return new HostTun(device, { fd, isNew: mark !== null, place });
  }

  private constructor(
    device: string,
    found: { readonly fd: number; readonly isNew: boolean; readonly place: HostTunPlace },
  ) {
    this.fd = found.fd;
    this.#isNew = found.isNew;
    this.device = device;
    this.#launcher = found.place.launcher;
    this.#patience = found.place.patience;
  }

  /** Has the launcher, which may be a new one, keep it. */
  async keep(): Promise<void> {
    await putDescriptor(this.#launcher, { name: nameOf(this.device), fd: this.fd }, this.#patience);
  }

  /** True from its creation until it is settled, whichever routers and emperors come and go meanwhile. */
  get isNew(): boolean {
    return this.#isNew;
  }

  /** What is to be done once for a new device has been done. */
  async settle(): Promise<void> {
    this.#isNew = false;
    await dropDescriptor(this.#launcher, newNameOf(this.device), this.#patience);
  }

  /** Closes the descriptor here; the device stays as long as the launcher keeps it. */
  close(): void {
    closeSync(this.fd);
  }

  /** Has the launcher let it go; it ends with its last descriptor. */
  async drop(): Promise<void> {
    await this.settle();
    await dropDescriptor(this.#launcher, nameOf(this.device), this.#patience);
  }
}

const nameOf = (device: string) => `tun ${device}`;
const newNameOf = (device: string) => `new tun ${device}`;
