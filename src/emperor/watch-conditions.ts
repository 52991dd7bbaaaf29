/** What is wrong with a watched directory, said once when it begins and once when it is over. */
import { messageOf } from '../base/errors.ts';
import { visible } from '../base/visible.ts';

export type ConditionKind =
  | 'mass-removal'
  | 'directory-unreadable'
  | 'directory-replaced'
  | 'directory-unmounted'
  | 'no-file-events'
  | 'ignored-files';

type OnCondition = (kind: ConditionKind, active: boolean, message: string) => void;

export class DirectoryConditions {
  readonly #onCondition: OnCondition;
  readonly #active = new Map<ConditionKind, string>();

  constructor(onCondition: OnCondition) {
    this.#onCondition = onCondition;
  }

  has(kind: ConditionKind): boolean {
    return this.#active.has(kind);
  }

  say(kind: ConditionKind, message: string): void {
    if (this.#active.get(kind) === message) return;
    this.#active.set(kind, message);
    this.#onCondition(kind, true, message);
  }

  clear(...kinds: readonly ConditionKind[]): void {
    for (const kind of kinds) {
      const message = this.#active.get(kind);
      if (message === undefined) continue;
      this.#active.delete(kind);
      this.#onCondition(kind, false, message);
    }
  }

  clearAll(): void {
    this.clear(...this.#active.keys());
  }
}

export function massRemovalMessage(
  path: string,
  removal: { readonly count: number; readonly knownFiles: number; readonly inMs: number },
): string {
  return (
    `${removal.count} of ${removal.knownFiles} vassal files vanished at once from ${path}; their ` +
    `vassals are stopped in ${Math.ceil(removal.inMs / 1000)} s unless the files come back`
  );
}

export function unreadableMessage(path: string, error: unknown): string {
  return `Cannot read ${path}: ${messageOf(error)}; its vassals stay as they are`;
}

export function noEventsMessage(path: string, failure: string, rescanMs: number): string {
  return (
    `Cannot watch ${path}: ${failure}; changes are found by a scan every ${rescanMs / 1000} s ` +
    '(raise fs.inotify.max_user_watches and fs.inotify.max_user_instances)'
  );
}

const NAMED = 5;

/** `files` by name: why each is no vassal. */
export function ignoredMessage(path: string, files: ReadonlyMap<string, string>): string {
  const named = [...files].slice(0, NAMED).map(([file, why]) => `${visible(file)} (${why})`);
  const more = files.size > NAMED ? `, and ${files.size - NAMED} more` : '';
  return `No vassals are made of these files in ${path}: ${named.join(', ')}${more}`;
}

export function unmountedMessage(path: string): string {
  return (
    `${path} is no longer mounted; its vassals stay as they are until it is back ` +
    '(if it was unmounted for good, restart the emperor)'
  );
}

export function replacedMessage(path: string, files: number, holdMs: number): string {
  const what = `${path} is another directory than the one first opened`;
  if (files === 0) {
    return `${what} and has no vassal file; vassals stay as they are until it has one`;
  }
  return `${what}; its files are applied, vassals without a file are stopped after ${holdMs / 1000} s`;
}
