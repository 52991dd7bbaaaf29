/**
 * The rules that a uWSGI vassal lays upon itself (`tuntap-device-rule`), as its frames with mod2 1 carry them. They
 * can only take away: a packet that they pass meets the operator's chains, too. Pure.
 *
 * Packed, 24 bytes: u8 direction, u32 source, its mask, u32 destination, its mask, u8 action, u32 gateway, u16 its
 * port; addresses and masks little endian. As in uWSGI the first match decides, an address 0 is any, nothing is
 * masked here that the sender has not masked, and no match passes. Its routes to a UDP gateway are not built: a
 * packet that one speaks of goes nowhere.
 */

const RULE_BYTES = 24;
const WORDS = 4;
const MAX_RULES = 341;

const ACTION = { pass: 0, drop: 1, route: 2 } as const;
export const DIRECTION = { in: 0, out: 1 } as const;

export type OwnVerdict = 'pass' | 'drop' | 'route';

export class OwnRules {
  #count = 0;
  readonly #directions = new Uint8Array(MAX_RULES);
  readonly #actions = new Uint8Array(MAX_RULES);
  /** Source, its mask, destination, its mask. */
  readonly #words = new Uint32Array(MAX_RULES * WORDS);

  /** Replaces all rules by those of a block; false, and no rule is left, if it is none. */
  read(bytes: Uint8Array, start: number, length: number): boolean {
    this.#count = 0;
    const count = length / RULE_BYTES;
    if (!Number.isInteger(count) || count > MAX_RULES) return false;
    for (let i = 0; i < count; i += 1) {
      if (!this.#readOne(i, bytes, start + i * RULE_BYTES)) return false;
    }
    this.#count = count;
    return true;
  }

  clear(): void {
    this.#count = 0;
  }

  judge(direction: number, source: number, destination: number): OwnVerdict {
    for (let i = 0; i < this.#count; i += 1) {
      if (this.#directions[i] !== direction) continue;
      const at = i * WORDS;
      if (!this.#matches(at, source) || !this.#matches(at + 2, destination)) continue;
      const action = this.#actions[i];
      if (action === ACTION.pass) return 'pass';
      return action === ACTION.drop ? 'drop' : 'route';
    }
    return 'pass';
  }

  #readOne(index: number, bytes: Uint8Array, at: number): boolean {
    const direction = bytes[at] as number;
    const action = bytes[at + 17] as number;
    if (direction > DIRECTION.out || action > ACTION.route) return false;
    this.#directions[index] = direction;
    this.#actions[index] = action;
    for (let word = 0; word < WORDS; word += 1) {
      this.#words[index * WORDS + word] = littleWordAt(bytes, at + 1 + word * 4);
    }
    return true;
  }

  #matches(at: number, address: number): boolean {
    const wanted = this.#words[at] as number;
    return wanted === 0 || (address & (this.#words[at + 1] as number)) >>> 0 === wanted;
  }
}

function littleWordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}
