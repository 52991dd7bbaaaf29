/** Those who wait until something about the realm holds; asked again after every change. */

export class Waiters {
  readonly #asking = new Set<() => void>();

  /** Resolves with the first defined answer of `probe`. */
  until<T>(probe: () => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const ask = () => {
        const answer = probe();
        if (answer === undefined) return;
        this.#asking.delete(ask);
        resolve(answer);
      };
      this.#asking.add(ask);
      ask();
    });
  }

  /** Something has changed. */
  wake(): void {
    for (const ask of [...this.#asking]) ask();
  }
}
