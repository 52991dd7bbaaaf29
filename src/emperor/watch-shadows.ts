/**
 * Names that more than one directory has: the file in the directory that stands first counts, and a
 * condition of each later directory says which of its files are ignored. Who wins is decided by watch.ts.
 */

interface Shadow {
  /** Directory whose file counts. */
  readonly winner: string;
  /** Directory whose file is ignored. */
  readonly loser: string;
}

const NAMED_FILES = 3;

export class Shadows {
  readonly #onCondition: (directory: string, active: boolean, message: string) => void;
  readonly #shadows = new Map<string, Shadow>();
  /** What was said, by directory. */
  readonly #said = new Map<string, string>();
  #isChanged = false;

  constructor(onCondition: (directory: string, active: boolean, message: string) => void) {
    this.#onCondition = onCondition;
  }

  names(): readonly string[] {
    return [...this.#shadows.keys()];
  }

  /** Takes note of the directories that have a name, in their order. */
  settle(name: string, holders: readonly string[]): void {
    const [winner, loser] = holders;
    const before = this.#shadows.get(name);
    if (before?.winner === winner && before?.loser === loser) return;
    if (winner !== undefined && loser !== undefined) this.#shadows.set(name, { winner, loser });
    else if (!this.#shadows.delete(name)) return;
    this.#isChanged = true;
  }

  /** Says what has changed since it was last asked to. */
  tell(): void {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    const messages = this.#messages();
    for (const [directory, message] of this.#said) {
      if (messages.has(directory)) continue;
      this.#said.delete(directory);
      this.#onCondition(directory, false, message);
    }
    for (const [directory, message] of messages) {
      if (this.#said.get(directory) === message) continue;
      this.#said.set(directory, message);
      this.#onCondition(directory, true, message);
    }
  }

  #messages(): ReadonlyMap<string, string> {
    const lines = new Map<string, string[]>();
    for (const [name, { winner, loser }] of this.#shadows) {
      const files = lines.get(loser) ?? [];
      files.push(`${name}.ini (of ${winner})`);
      lines.set(loser, files);
    }
    return new Map([...lines].map(([directory, files]) => [directory, message(directory, files)]));
  }
}

function message(directory: string, files: readonly string[]): string {
  const more = files.length - NAMED_FILES;
  const named = files.slice(0, NAMED_FILES).join(', ') + (more > 0 ? ` and ${more} more` : '');
  return (
    `In ${directory} these files are ignored, because a directory that stands first has files of the ` +
    `same names: ${named}; rename or remove one of each`
  );
}
