/** Whatever is opened is put in a scope; closing the scope closes all of it, last opened first. */

export class Scope {
  readonly #closers: (() => void | Promise<void>)[] = [];

  /** Registers `close` and returns `resource`, so that opening and registering are one line. */
  add<T>(resource: T, close: (resource: T) => void | Promise<void>): T {
    this.#closers.push(() => close(resource));
    return resource;
  }

  /** Closes everything; a closer that throws does not keep the others from running. */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (let closer = this.#closers.pop(); closer; closer = this.#closers.pop()) {
      try {
        await closer();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'Cannot close the scope cleanly');
  }
}
