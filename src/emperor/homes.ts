/**
 * The images that homes of limited size lie in (docs/decisions/0025): one file for each, beside the homes, where only
 * root gets. It is made and, at rest, enlarged here, by the tools of e2fsprogs; init mounts it (native/home-image.c).
 * An image that is there is the home, whatever is asked for.
 */
import { closeSync, existsSync, lstatSync, openSync, readSync } from 'node:fs';
import {
  access,
  constants,
  lstat,
  mkdir,
  open,
  opendir,
  rename,
  rm,
  statfs,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Clock, delay } from '../base/clock.ts';
import { EmperorError, isErrno, isSystemError, messageOf } from '../base/errors.ts';
import { PATIENT, runTool } from '../base/run-tool.ts';
import type { Unmet } from '../cgroup/controllers.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { effectiveCapabilities, missingCapabilities } from '../linux/capabilities.ts';
import { isBeingWritten } from '../linux/lease.ts';
import { lackForImages } from './home-needs.ts';
import {
  type HomeUsage,
  hasErrors,
  judgeSize,
  SUPERBLOCK,
  usageOf,
  wantedBytes,
  whyNoImage,
} from './home-size.ts';

export interface HomesHost {
  readonly clock: Clock;
  /** The emperor's `homes`. */
  readonly directory: string;
  /** The home of a vassal, on the host and inside. */
  readonly homeOf: (config: VassalConfig) => string;
  readonly insideOf: (config: VassalConfig) => string;
  readonly isJailed: () => boolean;
  /** The C program. */
  readonly program: () => string;
}

/** How often, and how many times, an image is looked at that somebody has open. */
const FREE_INTERVAL_MS = 20;
const FREE_ATTEMPTS = 100;
const IMAGES = '.images';
const KEY = 'home-size';
/**
 * What is cut short in a file system with files in it may cost them. What an emperor that ended has left at work
 * has the image open for writing, so that the next one, and init, wait for it.
 */
const WHOLE = { ...PATIENT, outlivesUs: true };
/** As many files in each 128 MB, which is a group of blocks; and so many at least. */
const FILES_OF_A_GROUP = 8192;
const BYTES_OF_A_FILE = (128 * 1024 * 1024) / FILES_OF_A_GROUP;
/**
 * No reserve for root, and blocks of the size that native/home-image.c counts in. Nothing is zeroed, since the file is
 * all zeros: it takes up as much of the disk as is stored.
 */
const MAKE =
  'mkfs.ext4 -q -F -b 4096 -m 0 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1'.split(' ');

/** Where the images of homes in this directory are. */
export function imagesDirectory(homes: string): string {
  return join(homes, IMAGES);
}

export class Homes {
  readonly #host: HomesHost;
  /** The last that is done about the home of each vassal. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(host: HomesHost) {
    this.#host = host;
  }

  imageOf(name: string): string {
    return join(imagesDirectory(this.#host.directory), name);
  }

  /** The image that the home of `name` lies in; null: it is a directory. */
  find(name: string): string | null {
    return this.#imageBytes(name) === null ? null : this.imageOf(name);
  }

  /** All that there is of the home of `name` here. */
  filesOf(name: string): readonly string[] {
    return [this.imageOf(name), this.#markOf(name), this.#freshOf(name)];
  }

  /** Tells whether prepare() may take its time. */
  isSlow({ name, homeSize }: VassalConfig): boolean {
    const [wanted, bytes] = [wantedBytes(homeSize), this.#imageBytes(name)];
    if (wanted !== null && wanted > (bytes ?? 0)) return true;
    return bytes !== null && (this.#isUnfinished(name) || this.#hasErrors(name));
  }

  /** Before a start: makes the image that is asked for, or enlarges it. Returns what is not kept. */
  prepare(config: VassalConfig): Promise<readonly Unmet[]> {
    return this.#inTurn(config.name, () => this.#prepare(config));
  }

  async #prepare(config: VassalConfig): Promise<readonly Unmet[]> {
    const { name } = config;
    const wanted = wantedBytes(config.homeSize);
    const bytes = this.#imageBytes(name);
    if (bytes === null) return wanted === null ? [] : this.#make(config, wanted);
    if (!this.#host.isJailed()) {
      const why = 'its home lies in an image, which needs `fs` in emperor-use-clone';
      throw new EmperorError('start-failed', `Cannot start ${name}: ${why}`);
    }
    const verdict = judgeSize(wanted, { bytes });
    try {
      if (verdict.kind === 'grow') await this.#growAtRest(name, verdict.bytes);
      else if (this.#isUnfinished(name)) await this.#growAtRest(name, bytes);
      else if (this.#hasErrors(name)) await this.#mend(name);
    } catch (error) {
      // It is mounted as it is, or init says why not.
      if (error instanceof EmperorError || isSystemError(error)) return unmet(error.message);
      throw error;
    }
    return verdict.kind === 'unmet' ? unmet(verdict.reason) : [];
  }

  /** Has the home of a vassal that runs follow its configuration. Returns what is not kept. */
  follow(config: VassalConfig, pid: number): Promise<readonly Unmet[]> {
    return this.#inTurn(config.name, () => this.#follow(config, pid)).catch((error) =>
      unmet(messageOf(error)),
    );
  }

  /** One after another for each vassal: no two tools are at one image, and the last answer is of what was asked last. */
  async #inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(work, work);
    this.#turns.set(name, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(name) === turn) this.#turns.delete(name);
    }
  }

  async #follow(config: VassalConfig, pid: number): Promise<readonly Unmet[]> {
    const wanted = wantedBytes(config.homeSize);
    const bytes = this.#imageBytes(config.name);
    if (bytes === null) {
      if (wanted === null) return [];
      return unmet((await this.#obstacle(config)) ?? 'it takes effect when it is started again');
    }
    const used = (await this.usage(config, pid))?.bytes;
    const verdict = judgeSize(wanted, { bytes, used });
    if (verdict.kind === 'unmet') return unmet(verdict.reason);
    if (verdict.kind === 'kept' && !this.#isUnfinished(config.name)) return [];
    if (missingCapabilities(effectiveCapabilities(), ['sys_resource']).length > 0) {
      return unmet('without CAP_SYS_RESOURCE its home grows when it is started again');
    }
    const place = insideOf(pid, this.#host.insideOf(config));
    await this.#growing(config.name, async (image) => {
      await runTool([this.#host.program(), 'grow', image, place, `${wanted}`], '', WHOLE);
    });
    return [];
  }

  /** What a running vassal has stored; null: its home has no size of its own. */
  async usage(config: VassalConfig, pid: number): Promise<HomeUsage | null> {
    if (this.#imageBytes(config.name) === null) return null;
    try {
      const home = insideOf(pid, this.#host.insideOf(config));
      return usageOf(await statfs(home), await isReadOnly(home));
    } catch (error) {
      // It ended meanwhile, most likely; whatever it is, the rest of its status can be told.
      if (isSystemError(error)) return null;
      throw error;
    }
  }

  async #make(config: VassalConfig, bytes: number): Promise<readonly Unmet[]> {
    const obstacle = await this.#obstacle(config);
    if (obstacle !== null) return unmet(obstacle);
    const image = this.imageOf(config.name);
    // An emperor that was killed may have left it.
    const fresh = this.#freshOf(config.name);
    await mkdir(dirname(image), { recursive: true, mode: 0o700 });
    await rm(fresh, { force: true });
    const file = await open(fresh, 'wx', 0o600);
    try {
      await file.truncate(bytes);
      const files = Math.max(FILES_OF_A_GROUP, Math.floor(bytes / BYTES_OF_A_FILE));
      await runTool([...MAKE, '-N', String(files), fresh], '', PATIENT);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, image);
    await sync(dirname(image));
    return [];
  }

  async #obstacle(config: VassalConfig): Promise<string | null> {
    const home = this.#host.homeOf(config);
    return whyNoImage({
      name: config.name,
      home,
      isJailed: this.#host.isJailed(),
      lack: lackForImages(),
      hasFiles: await hasFiles(home),
    });
  }

  async #growAtRest(name: string, bytes: number): Promise<void> {
    await this.#growing(name, async (image) => {
      await this.#mend(name);
      await truncate(image, bytes);
      await runTool(['resize2fs', image], '', WHOLE);
    });
  }

  async #mend(name: string): Promise<void> {
    const image = this.imageOf(name);
    await this.#untilFree(image);
    // 1: there was something to mend.
    await runTool(['e2fsck', '-f', '-p', image], '', { ...WHOLE, accepted: [1] });
  }

  /** The device of a mount that has just ended clears itself in a moment; init waits as long. */
  async #untilFree(image: string): Promise<void> {
    for (let tried = 0; isBeingWritten(image); tried += 1) {
      if (tried === FREE_ATTEMPTS) {
        throw new EmperorError('in-use', `Cannot check ${image}: somebody else has it open`);
      }
      await delay(this.#host.clock, FREE_INTERVAL_MS);
    }
  }

  /** The kernel has met errors in it, such as a full disk of the host's. */
  #hasErrors(name: string): boolean {
    const file = openSync(this.imageOf(name), 'r');
    try {
      const superblock = Buffer.alloc(SUPERBLOCK.bytes);
      readSync(file, superblock, 0, SUPERBLOCK.bytes, SUPERBLOCK.offset);
      return hasErrors(superblock);
    } finally {
      closeSync(file);
    }
  }

  /** The file grows first: what was cut short then is known by a mark, and done again. */
  async #growing(name: string, grow: (image: string) => Promise<void>): Promise<void> {
    const mark = this.#markOf(name);
    await writeFile(mark, '', { mode: 0o600 });
    await grow(this.imageOf(name));
    await rm(mark, { force: true });
  }

  #isUnfinished(name: string): boolean {
    return existsSync(this.#markOf(name));
  }

  // Both of no vassal, since their names begin with a letter or digit.
  #markOf(name: string): string {
    return join(imagesDirectory(this.#host.directory), `.growing-${name}`);
  }

  #freshOf(name: string): string {
    return join(imagesDirectory(this.#host.directory), `.new-${name}`);
  }

  #imageBytes(name: string): number | null {
    return lstatSync(this.imageOf(name), { throwIfNoEntry: false })?.size ?? null;
  }
}

/** A directory of a vassal as its processes see it; no part of the way is its tenant's. */
function insideOf(pid: number, path: string): string {
  return `/proc/${pid}/root${path}`;
}

/** So that a name in `directory` is there after a loss of power. */
async function sync(directory: string): Promise<void> {
  const opened = await open(directory, 'r');
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}

/** Nothing else keeps root from writing. */
async function isReadOnly(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.W_OK);
    return false;
  } catch (error) {
    if (isErrno(error, 'EROFS')) return true;
    throw error;
  }
}

function unmet(reason: string): readonly Unmet[] {
  return [{ key: KEY, reason }];
}

/** Of what is no directory init tells. */
async function hasFiles(home: string): Promise<boolean> {
  try {
    if (!(await lstat(home)).isDirectory()) return false;
    const directory = await opendir(home);
    try {
      return (await directory.read()) !== null;
    } finally {
      await directory.close();
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
