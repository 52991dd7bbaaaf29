/**
 * The kernel's events of one directory, by one plain fs.watch (inotify). They only say where to look: the
 * queue may overflow, and libuv tells neither that nor which kind of change it was.
 */
import { type FSWatcher, watch } from 'node:fs';
import { basename } from 'node:path';
import { messageOf } from '../base/errors.ts';
import { vassalNameOfFile } from '../config/names.ts';
import { type DirectoryIdentity, sameDirectory } from './watch-identity.ts';

export interface EventTargets {
  /** Something happened to a vassal's file, which may have been renamed from `movedFrom`. */
  readonly onName: (name: string, movedFrom: string | undefined) => void;
  /** The directory itself was moved, removed, unmounted or changed. */
  readonly onDirectory: () => void;
  /** So many events came that the kernel may have dropped some. */
  readonly onBurst: () => void;
}

/** The kernel's queue holds 16,384 events by default. */
const BURST_EVENTS = 4096;

export class DirectoryEvents {
  readonly #path: string;
  readonly #targets: EventTargets;
  #watcher: FSWatcher | undefined;
  #watched: DirectoryIdentity | undefined;
  #count = 0;
  /** The file of the last event, if it was a rename. */
  #renamed: string | null = null;

  constructor(path: string, targets: EventTargets) {
    this.#path = path;
    this.#targets = targets;
  }

  /**
   * Watches the directory that the path leads to now, unless it does already. Returns why it cannot:
   * ENOSPC and EMFILE are the limits of inotify.
   */
  arm(found: DirectoryIdentity): string | undefined {
    if (this.#watched && sameDirectory(this.#watched, found)) return undefined;
    this.disarm();
    try {
      const watcher = watch(this.#path, (type, file) => this.#event(type, file));
      watcher.on('error', () => this.disarm());
      this.#watcher = watcher;
      this.#watched = found;
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  disarm(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = undefined;
  }

  /** Everything has been looked at. */
  resetBurst(): void {
    this.#count = 0;
  }

  #event(type: 'rename' | 'change', file: string | null): void {
    this.#count += 1;
    if (this.#count === BURST_EVENTS) this.#targets.onBurst();
    // A rename within the directory comes as two events in a row: old name, new name.
    const from = this.#renamed;
    this.#renamed = type === 'rename' ? file : null;
    const name = file === null ? undefined : vassalNameOfFile(file);
    if (name !== undefined) {
      const isMove = type === 'rename' && from !== null && from !== file;
      this.#targets.onName(name, isMove ? from : undefined);
    } else if (file === null || file === basename(this.#path)) {
      // The next scan watches what is there then, were it a directory with the same numbers.
      this.disarm();
      this.#targets.onDirectory();
    }
  }
}
