/** How much text one configuration may turn into: loops, includes and placeholders spend from one purse. */

export const MAX_EXPANDED_CHARACTERS = 1024 * 1024;

export class Budget {
  #left = MAX_EXPANDED_CHARACTERS;

  get isSpent(): boolean {
    return this.#left < 0;
  }

  /** Takes `characters`, and one for the work; returns false once there is nothing left. */
  spend(characters: number): boolean {
    this.#left -= characters + 1;
    return !this.isSpent;
  }
}
